// Pooling of images (n, h, w, c): the greatest or the mean value of a window, for each channel.
//
//   output (i, j) of fixed windows sees rows [i stride - padding, ... + kernel), of adaptive ones (PyTorch's)
//   [floor(i h / out_h), ceil((i + 1) h / out_h)); columns likewise, both cut to the image
//
// Order of addition: the window's pixels, row by row, are the rows of a column sum (kernels/reduce.h); a pixel's
// gradient is added over the windows that see it, row by row. One output pixel with an adaptive window is global
// pooling.
#pragma once

#include "kernels/hw.h"
#include "kernels/runtime.h"

namespace taut {

struct PoolShape {
  int64_t n, h, w, c;
  int64_t out_h, out_w;
  bool adaptive = false;
  HW kernel = 0, stride = 1, padding = 0;  // fixed windows
  bool count_padding = true;  // the mean of a fixed window divides by kernel.h kernel.w, not by what is in the image

  constexpr int64_t outputs() const { return n * out_h * out_w * c; }
  constexpr int64_t inputs() const { return n * h * w * c; }
};

BOTH_BACKENDS(
    // Fixed windows only; a NaN is greater than everything.
    template <class T> void max_pool_forward(Stream, const T* x, T* y, PoolShape shape);
    // To the first pixel, row by row, that has the greatest value (PyTorch's choice; of NaNs the last).
    template <class T> void max_pool_backward(Stream, const T* dy, const T* x, T* dx, PoolShape shape);
    template <class T> void avg_pool_forward(Stream, const T* x, T* y, PoolShape shape);
    template <class T> void avg_pool_backward(Stream, const T* dy, T* dx, PoolShape shape);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_POOL(T)                                                 \
  template void max_pool_forward<T>(Stream, const T*, T*, PoolShape);            \
  template void max_pool_backward<T>(Stream, const T*, const T*, T*, PoolShape); \
  template void avg_pool_forward<T>(Stream, const T*, T*, PoolShape);            \
  template void avg_pool_backward<T>(Stream, const T*, T*, PoolShape);
