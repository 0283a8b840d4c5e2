// Small images for the report: floats in [0, 1] to PNG bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace taut::study {

// An 8-bit PNG of x (channels, height, width), 1 channel (grey) or 3 (RGB); values are clamped to [0, 1] and rounded to
// 255ths, NaN becomes 0. Throws Error(kUsage) for another number of channels or values.
std::vector<uint8_t> encode_png(std::span<const float> x, int64_t channels, int64_t height, int64_t width);

// The same as the text of a data: URI.
std::string png_data_uri(std::span<const float> x, int64_t channels, int64_t height, int64_t width);

}  // namespace taut::study
