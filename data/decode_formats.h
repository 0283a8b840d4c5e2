// The decoders behind decode_image; the caller has told the format and checked the file's size.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "data/image.h"

namespace taut {

Image decode_jpeg(std::span<const uint8_t> bytes, std::string_view name);
Image decode_png(std::span<const uint8_t> bytes, std::string_view name);
Image decode_stb(std::span<const uint8_t> bytes, std::string_view name);  // BMP, TGA, PNM

// Throws Error(kBadData) if an image of this size is refused.
void check_dimensions(int64_t height, int64_t width, std::string_view name);

}  // namespace taut
