#include "study/report/jpeg.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include "kernels/error.h"

namespace taut::study {
namespace {

struct ErrorManager {
  jpeg_error_mgr base;  // first, so that the library's pointer is ours too
  std::jmp_buf back;
};

[[noreturn]] void on_error(j_common_ptr info) { std::longjmp(reinterpret_cast<ErrorManager*>(info->err)->back, 1); }

// False if the library reported an error; no object with a destructor lives in here.
bool encode(const Image& image, int quality, jpeg_compress_struct& encoder, ErrorManager& errors, unsigned char** out,
            unsigned long* size) {
  if (setjmp(errors.back) != 0) return false;
  jpeg_create_compress(&encoder);
  jpeg_mem_dest(&encoder, out, size);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.input_components = static_cast<int>(image.channels);
  encoder.in_color_space = image.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, quality, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  for (int64_t y = 0; y < image.height; ++y) {
    JSAMPROW row = const_cast<uint8_t*>(image.row(y));
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  return true;
}

}  // namespace

std::vector<uint8_t> encode_jpeg(const Image& image, int quality) {
  TAUT_CHECK((image.channels == 1 || image.channels == 3) && image.height >= 1 && image.width >= 1 &&
                 image.height <= 16384 && image.width <= 16384,
             "[jpeg] expected an image of 1 or 3 channels, got {} x {} x {}", image.height, image.width,
             image.channels);
  jpeg_compress_struct encoder{};
  ErrorManager errors{};
  encoder.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  unsigned char* out = nullptr;
  unsigned long size = 0;
  const bool fine = encode(image, quality, encoder, errors, &out, &size);
  const std::unique_ptr<unsigned char, void (*)(void*)> held(out, std::free);
  jpeg_destroy_compress(&encoder);
  if (!fine) fail(Exit::kMemory, "[jpeg] the encoder failed");
  return {out, out + size};
}

}  // namespace taut::study
