#include "data/preprocess.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/error.h"

namespace taut {
namespace {

// round-half-even(extra / 2) for extra >= 0.
int64_t half(int64_t extra) {
  const int64_t down = extra / 2;
  return extra % 2 == 1 && down % 2 == 1 ? down + 1 : down;
}

Image resize_short_side(const Image& image, int64_t side, Filter filter) {
  const int64_t shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const int64_t other = side * longer / shorter;
  return image.height <= image.width ? resize(image, side, other, filter) : resize(image, other, side, filter);
}

std::array<float, 256> make_table() {
  std::array<float, 256> table;
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i) / 255.0f;
  return table;
}

}  // namespace

Preprocess stretch_to(int64_t size, Filter filter) {
  return {.kind = Preprocess::Kind::kStretch, .filter = filter, .size = size};
}

Preprocess short_side_then_crop(int64_t short_side, int64_t size, Filter filter) {
  return {.kind = Preprocess::Kind::kShortSide, .filter = filter, .size = size, .short_side = short_side};
}

Preprocess centre_crop_to(int64_t size) { return {.kind = Preprocess::Kind::kCentre, .size = size}; }

Image centre_crop(const Image& image, int64_t height, int64_t width) {
  TAUT_CHECK(height >= 1 && width >= 1 && height <= image.height && width <= image.width,
             "[centre_crop] expected a crop within {} x {}, got {} x {}", image.height, image.width, height, width);
  Image result(height, width, image.channels);
  const int64_t top = half(image.height - height), left = half(image.width - width);
  for (int64_t y = 0; y < height; ++y) {
    std::memcpy(result.row(y), image.row(top + y) + left * image.channels, static_cast<size_t>(width * image.channels));
  }
  return result;
}

Image with_channels(const Image& image, int64_t channels) {
  TAUT_CHECK(channels == 1 || channels == 3, "[with_channels] expected 1 or 3 channels, got {}", channels);
  if (channels == image.channels) return image;
  Image result(image.height, image.width, channels);
  const uint8_t* in = image.pixels.data();
  uint8_t* out = result.pixels.data();
  for (int64_t i = 0; i < image.height * image.width; ++i) {
    if (channels == 3) {
      for (int64_t c = 0; c < 3; ++c) out[3 * i + c] = in[i];
    } else {
      out[i] = static_cast<uint8_t>((19595 * in[3 * i] + 38470 * in[3 * i + 1] + 7471 * in[3 * i + 2] + 0x8000) >> 16);
    }
  }
  return result;
}

Image preprocess(const Image& image, const Preprocess& how) {
  if (how.channels != 0 && how.channels != image.channels) {
    Preprocess rest = how;
    rest.channels = 0;
    return preprocess(with_channels(image, how.channels), rest);
  }
  switch (how.kind) {
    case Preprocess::Kind::kNone: return image;
    case Preprocess::Kind::kStretch: return resize(image, how.size, how.size, how.filter);
    case Preprocess::Kind::kCentre: return centre_crop(image, how.size, how.size);
    case Preprocess::Kind::kShortSide: break;
  }
  TAUT_CHECK(how.size >= 1 && how.short_side >= how.size,
             "[preprocess] expected a short side of at least the crop's {}, got {}", how.size, how.short_side);
  return centre_crop(resize_short_side(image, how.short_side, how.filter), how.size, how.size);
}

std::string describe(const Preprocess& how) {
  const char* filter = how.filter == Filter::kBilinear ? "bilinear" : "bicubic";
  std::string text = "none";
  if (how.kind == Preprocess::Kind::kStretch) text = fmt::format("stretch {} {}", how.size, filter);
  if (how.kind == Preprocess::Kind::kCentre) text = fmt::format("centre {}", how.size);
  if (how.kind == Preprocess::Kind::kShortSide) {
    text = fmt::format("short side {} {}, centre {}", how.short_side, filter, how.size);
  }
  return how.channels == 0 ? text : fmt::format("{}, {} channels", text, how.channels);
}

void to_float(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, float* out) {
  static const std::array<float, 256> table = make_table();
  const int64_t plane = height * width;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < plane; ++i) out[c * plane + i] = table[pixels[i * channels + c]];
  }
}

}  // namespace taut
