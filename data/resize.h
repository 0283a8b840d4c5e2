// Resizing with exactly the bytes of Pillow's `Image.resize` for 8-bit images.
//
// Per axis: scale = in / out, fs = max(scale, 1), centre c = (o + 1/2) scale; the weights of output o are
// filter((i - c + 1/2) / fs) over the inputs i within support * fs of c, normalised in double and then rounded to
// 22-bit fixed point. The result of the first pass is rounded to 8 bits before the other. The horizontal pass goes
// first unless the height shrinks, and by more than twice what the width shrinks. (Pillow 13,
// src/libImaging/Resample.c; older versions always begin horizontally.)
#pragma once

#include <cstdint>

#include "data/image.h"

namespace taut {

enum class Filter : uint8_t {
  kBilinear,  // triangle, support 1
  kBicubic,   // Keys with a = -1/2, support 2
};

// Returns `image` at height x width. Throws Error(kUsage) unless both are in 1 .. 16384.
Image resize(const Image& image, int64_t height, int64_t width, Filter filter);

}  // namespace taut
