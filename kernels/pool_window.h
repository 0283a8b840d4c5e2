// Which pixels an output of a pooling sees, and which outputs see a pixel (kernels/pool.h), for every backend.
#pragma once

#include "kernels/math.h"
#include "kernels/pool.h"

namespace taut::TAUT_MATH {

// One direction of a pooling.
struct PoolAxis {
  int64_t size, out, kernel, stride, padding;
  bool adaptive;

  // Pixels [begin, end) of the image that output o sees.
  TAUT_INLINE int64_t begin(int64_t o) const {
    if (adaptive) return o * size / out;
    const int64_t b = o * stride - padding;
    return b < 0 ? 0 : b;
  }
  TAUT_INLINE int64_t end(int64_t o) const {
    if (adaptive) return ((o + 1) * size + out - 1) / out;
    const int64_t e = o * stride - padding + kernel;
    return e < size ? e : size;
  }
  // Outputs [first, last) that see pixel i.
  TAUT_INLINE int64_t first(int64_t i) const {
    if (adaptive) return i * out / size;
    const int64_t from = i + padding - kernel + 1;
    return from <= 0 ? 0 : (from + stride - 1) / stride;
  }
  TAUT_INLINE int64_t last(int64_t i) const {
    if (adaptive) return ((i + 1) * out + size - 1) / size;
    const int64_t to = (i + padding) / stride + 1;
    return to < out ? to : out;
  }
};
TAUT_INLINE PoolAxis rows_of(const PoolShape& s) {
  return {s.h, s.out_h, s.kernel.h, s.stride.h, s.padding.h, s.adaptive};
}
TAUT_INLINE PoolAxis columns_of(const PoolShape& s) {
  return {s.w, s.out_w, s.kernel.w, s.stride.w, s.padding.w, s.adaptive};
}

template <class T>
TAUT_INLINE T window_size(const PoolShape& s, int64_t pixels) {
  return static_cast<T>(!s.adaptive && s.count_padding ? s.kernel.h * s.kernel.w : pixels);
}

}  // namespace taut::TAUT_MATH
