// JPEG through libjpeg-turbo. The library reports errors by calling back; the callbacks return here by longjmp, so no
// object with a destructor lives between setjmp and the calls into the library.
#include <csetjmp>
#include <cstdio>
#include <string>
// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include "data/decode.h"
#include "data/decode_formats.h"
#include "kernels/error.h"

namespace taut {
namespace {

constexpr int64_t kMemory = int64_t{480} << 20;  // pixels, and the coefficients of a progressive image

struct ErrorManager {
  jpeg_error_mgr base;  // first, so that the library's pointer is ours too
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->back, 1);
}

// A level below zero is a warning: the data are damaged and the decoder would make up the rest.
void on_message(j_common_ptr info, int level) {
  if (level < 0) on_error(info);
}

void on_progress(j_common_ptr info) {
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  const int64_t pixels = int64_t{decoder->image_width} * decoder->image_height;
  const int64_t scans = decoder->input_scan_number;
  if (scans <= DecodeLimits::kScans && scans * pixels <= DecodeLimits::kScanPixels) return;
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(errors->message, sizeof errors->message, "more progressive scans (%ld) than are accepted",
                static_cast<long>(scans));
  std::longjmp(errors->back, 1);
}

// Creates the decoder and reads the header; false if the library reported an error.
bool read_header(jpeg_decompress_struct& decoder, ErrorManager& errors, const uint8_t* bytes, size_t size) {
  if (setjmp(errors.back) != 0) return false;
  jpeg_create_decompress(&decoder);
  jpeg_mem_src(&decoder, bytes, static_cast<unsigned long>(size));
  jpeg_read_header(&decoder, TRUE);
  return true;
}

// Decodes the pixels into rows `stride` bytes apart; false as above.
bool read_pixels(jpeg_decompress_struct& decoder, ErrorManager& errors, uint8_t* out, int64_t stride) {
  if (setjmp(errors.back) != 0) return false;
  jpeg_start_decompress(&decoder);
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPROW row = out + stride * decoder.output_scanline;
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  jpeg_finish_decompress(&decoder);
  return true;
}

// a b / 255, rounded, as Pillow's MULDIV255.
int multiply_255(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

// Pillow reads four components as inverted (Adobe's convention) and converts by r = (255-k) - c (255-k) / 255.
void convert_cmyk(const uint8_t* in, uint8_t* out, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i, in += 4, out += 3) {
    const int keep = in[3];  // 255 - k, the stored k being inverted
    for (int c = 0; c < 3; ++c) {
      const int value = keep - multiply_255(255 - in[c], keep);
      out[c] = static_cast<uint8_t>(value < 0 ? 0 : value);
    }
  }
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> bytes, std::string_view name) {
  jpeg_decompress_struct decoder{};
  ErrorManager errors{};
  jpeg_progress_mgr progress{};
  struct Cleanup {
    jpeg_decompress_struct* decoder;
    ~Cleanup() { jpeg_destroy_decompress(decoder); }
  } cleanup{&decoder};

  decoder.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = on_error;
  errors.base.emit_message = on_message;
  const auto give_up = [&] { fail(Exit::kBadData, "[{}] expected a valid JPEG, got: {}", name, errors.message); };
  if (!read_header(decoder, errors, bytes.data(), bytes.size())) give_up();

  check_dimensions(decoder.image_height, decoder.image_width, name);
  const int components = decoder.num_components;
  if (components != 1 && components != 3 && components != 4) {
    fail(Exit::kBadData, "[{}] expected a JPEG of 1, 3 or 4 components, got {}", name, components);
  }
  decoder.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
  progress.progress_monitor = on_progress;
  decoder.progress = &progress;
  decoder.dct_method = JDCT_ISLOW;
  decoder.do_fancy_upsampling = TRUE;

  const int64_t pixels = int64_t{decoder.image_height} * decoder.image_width;
  const int64_t pixel_bytes = pixels * (components == 3 ? 3 : 3 + components);
  if (pixel_bytes >= kMemory) {
    fail(Exit::kBadData, "[{}] expected an image that decodes in {} bytes, got {} x {} with {} components", name,
         kMemory, decoder.image_height, decoder.image_width, components);
  }
  decoder.mem->max_memory_to_use = static_cast<long>(kMemory - pixel_bytes);
  Image image(decoder.image_height, decoder.image_width, 3);
  std::vector<uint8_t> raw;
  if (components != 3) raw.resize(static_cast<size_t>(pixels * components));
  uint8_t* out = components == 3 ? image.pixels.data() : raw.data();
  if (!read_pixels(decoder, errors, out, image.width * components)) give_up();

  if (components == 4) convert_cmyk(raw.data(), image.pixels.data(), pixels);
  if (components == 1) {
    for (int64_t i = 0; i < pixels; ++i) {
      for (int64_t c = 0; c < 3; ++c) image.pixels[static_cast<size_t>(3 * i + c)] = raw[static_cast<size_t>(i)];
    }
  }
  return image;
}

}  // namespace taut
