// BMP, TGA and binary PNM through stb_image, with the formats it is known to be unsafe for compiled out.
//
// stb_image fills the end of a truncated file with zeros; the callbacks here notice that it asked for more than there
// is. Its PNM reader believes any header, so that one is checked first.
#define STBI_NO_JPEG
#define STBI_NO_PNG
#define STBI_NO_GIF
#define STBI_NO_HDR
#define STBI_NO_PSD
#define STBI_NO_PIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 16384
#define STBI_ASSERT(x) static_cast<void>(0)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstring>
#include <memory>

#include "data/decode.h"
#include "data/decode_formats.h"
#include "kernels/error.h"

namespace taut {
namespace {

constexpr int kBlock = 128;  // what stb_image asks for when it fills its buffer; anything else is a demand

struct Source {
  std::span<const uint8_t> bytes;
  size_t at = 0;
  bool overrun = false;
};

int read_some(void* user, char* out, int size) {
  auto* source = static_cast<Source*>(user);
  const size_t left = source->bytes.size() - source->at;
  const size_t n = std::min(left, static_cast<size_t>(std::max(size, 0)));
  if (size > 0 && (n == 0 || (n < static_cast<size_t>(size) && size != kBlock))) source->overrun = true;
  if (n > 0) std::memcpy(out, source->bytes.data() + source->at, n);
  source->at += n;
  return static_cast<int>(n);
}

void skip(void* user, int n) {
  auto* source = static_cast<Source*>(user);
  if (n < 0 || static_cast<size_t>(n) > source->bytes.size() - source->at) {
    source->overrun = true;
    source->at = source->bytes.size();
  } else {
    source->at += static_cast<size_t>(n);
  }
}

int at_end(void* user) {
  const auto* source = static_cast<const Source*>(user);
  return source->at >= source->bytes.size() ? 1 : 0;
}

// Width, height and largest value of a PNM header: numbers of at most five digits, the last of them 255.
void check_pnm_header(std::span<const uint8_t> bytes, std::string_view name) {
  size_t at = 2;
  int64_t last = 0;
  for (int field = 0; field < 3; ++field) {
    for (bool comment = false; at < bytes.size(); ++at) {
      const char c = static_cast<char>(bytes[at]);
      if (comment) {
        comment = c != '\n' && c != '\r';
      } else if (c == '#') {
        comment = true;
      } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
        break;
      }
    }
    int digits = 0;
    for (last = 0; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9' && digits < 6; ++at, ++digits) {
      last = last * 10 + (bytes[at] - '0');
    }
    if (digits < 1 || digits > 5) fail(Exit::kBadData, "[{}] expected width, height and 255 in the PNM header", name);
  }
  if (last != 255) fail(Exit::kBadData, "[{}] expected a PNM whose largest value is 255, got {}", name, last);
}

}  // namespace

Image decode_stb(std::span<const uint8_t> bytes, std::string_view name) {
  if (bytes[0] == 'P') check_pnm_header(bytes, name);
  stbi_io_callbacks callbacks{read_some, skip, at_end};
  int width = 0, height = 0, channels = 0;
  Source probe{bytes};
  if (stbi_info_from_callbacks(&callbacks, &probe, &width, &height, &channels) == 0) {
    fail(Exit::kBadData, "[{}] expected a BMP, TGA or binary PNM image, got: {}", name, stbi_failure_reason());
  }
  check_dimensions(height, width, name);
  Source source{bytes};
  const std::unique_ptr<uint8_t, void (*)(void*)> pixels(
      stbi_load_from_callbacks(&callbacks, &source, &width, &height, &channels, 3), stbi_image_free);
  if (source.overrun)
    fail(Exit::kBadData, "[{}] expected {} x {} pixels, got a file that ends early", name, height, width);
  if (!pixels) {
    fail(Exit::kBadData, "[{}] expected a valid BMP, TGA or binary PNM image, got: {}", name, stbi_failure_reason());
  }
  Image image(height, width, 3);
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}

}  // namespace taut
