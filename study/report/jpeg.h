// Thumbnails: 8-bit images to JPEG bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "data/image.h"

namespace taut::study {

// A baseline JPEG of an image of 1 or 3 channels. Throws Error(kUsage) for any other, Error(kMemory).
std::vector<uint8_t> encode_jpeg(const Image& image, int quality);

}  // namespace taut::study
