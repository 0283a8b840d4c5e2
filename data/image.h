// An image in memory: 8-bit samples, rows from the top, the channels of a pixel side by side (hwc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace taut {

struct Image {
  int64_t height = 0, width = 0;
  int64_t channels = 3;         // 1 (grey) or 3 (red, green, blue)
  std::vector<uint8_t> pixels;  // (height, width, channels)

  Image() = default;
  Image(int64_t h, int64_t w, int64_t c) : height(h), width(w), channels(c), pixels(static_cast<size_t>(h * w * c)) {}

  int64_t bytes() const { return height * width * channels; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * channels; }
  uint8_t* row(int64_t y) { return pixels.data() + y * width * channels; }
  bool operator==(const Image&) const = default;
};

}  // namespace taut
