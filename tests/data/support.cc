#include "tests/data/support.h"

#include <jpeglib.h>
#include <png.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "kernels/parallel.h"
#include "tensor/random.h"
#include "tests/deflate.h"

namespace taut::test {
namespace fs = std::filesystem;

fs::path shared_folder(const std::string& part, const std::string& what) {
  const char* given = std::getenv("TAUT_SHARED");
  const fs::path folder = (given != nullptr ? fs::path(given) : fs::path(TAUT_SOURCE_DIR) / ".." / "shared") / part;
  if (fs::exists(folder)) return folder;
  std::cout << "skipped: " << what << " (" << folder.lexically_normal().string() << " is absent)\n";
  return {};
}

fs::path golden_folder() { return fs::path(TAUT_SOURCE_DIR) / "tests" / "golden"; }

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "taut-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const Bytes& bytes) const {
  const fs::path file = path_ / name;
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return file.string();
}

std::string TemporaryFolder::write(const std::string& name, const std::string& text) const {
  return write(name, Bytes(text.begin(), text.end()));
}

Bytes read_all(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

Bytes gzipped(const Bytes& bytes) { return deflated_with(bytes, 6, MAX_WBITS + 16); }

Bytes deflated(const Bytes& bytes) { return deflated_with(bytes, 9, -MAX_WBITS); }

Image sample_image(int64_t height, int64_t width, int64_t channels, uint64_t seed) {
  Image image(height, width, channels);
  Random random(seed, Purpose::kTest);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        const auto noise = static_cast<int64_t>(random.below(40));
        image.row(y)[x * channels + c] = static_cast<uint8_t>((3 * x + (c + 2) * y + noise) % 256);
      }
    }
  }
  return image;
}

Bytes encode_jpeg(const Image& image, const JpegOptions& options) {
  jpeg_compress_struct encoder{};
  jpeg_error_mgr errors{};
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &out, &size);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.input_components = static_cast<int>(image.channels);
  encoder.in_color_space = image.channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  for (int64_t y = 0; y < image.height; ++y) {
    JSAMPROW row = const_cast<uint8_t*>(image.row(y));
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  Bytes bytes(out, out + size);
  jpeg_destroy_compress(&encoder);
  std::free(out);
  return bytes;
}

Bytes encode_png(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&png, nullptr, &size, 0, image.pixels.data(), 0, nullptr);
  Bytes bytes(size);
  png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr);
  bytes.resize(size);
  return bytes;
}

uint64_t hash(const void* data, size_t bytes, uint64_t start) {
  const auto* p = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < bytes; ++i) start = (start ^ p[i]) * 0x100000001B3u;
  return start;
}

Caught caught(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

pid_t in_process(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  set_num_threads(1);  // the pool's threads did not come along
  int code = 1;
  try {
    code = body();
  } catch (...) {
    code = 2;
  }
  ::_exit(code);
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace taut::test
