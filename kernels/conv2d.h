// Convolutions of images (n, h, w, c) with weights (c_out, c_in / groups, kh, kw), PyTorch's layout:
//
//   y[n, i, j, o] = bias[o] + sum over (r, s, c) of x[n, i stride - padding + r dilation, j stride - padding
//                   + s dilation, c] w[o, c, r, s]
//
// with a stride, padding and dilation for rows and another for columns. Pixels outside the image are zeros that are
// multiplied. Orders of addition: docs/numerics.md.
#pragma once

#include "kernels/hw.h"
#include "kernels/runtime.h"

namespace taut {

// One direction of a convolution.
struct ConvAxis {
  int64_t size, kernel, stride, padding, dilation, extra;
  constexpr int64_t reach() const { return dilation * (kernel - 1) + 1; }
  constexpr int64_t padded() const { return size + 2 * padding + extra; }
  constexpr int64_t out() const { return (padded() - reach()) / stride + 1; }
};

// One convolution, as ops check and build it: every size >= 1 but n, which may be 0; groups divides both channel
// counts; the dilated kernel fits into the padded image.
struct ConvShape {
  int64_t n = 0, h = 0, w = 0, c_in = 0;
  int64_t c_out = 0, kh = 1, kw = 1;
  HW stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;
  HW extra = 0;  // more padding at the bottom and on the right: PyTorch's "same" of kernels with an even reach

  constexpr ConvAxis rows() const { return {h, kh, stride.h, padding.h, dilation.h, extra.h}; }
  constexpr ConvAxis columns() const { return {w, kw, stride.w, padding.w, dilation.w, extra.w}; }
  constexpr int64_t out_h() const { return rows().out(); }
  constexpr int64_t out_w() const { return columns().out(); }
  constexpr int64_t group_in() const { return c_in / groups; }
  constexpr int64_t group_out() const { return c_out / groups; }
  constexpr int64_t rows_out() const { return n * out_h() * out_w(); }
  constexpr int64_t weights() const { return c_out * group_in() * kh * kw; }
};

// Whether a convolution is computed by Winograd's F(4x4, 3x3): 3x3 of stride 1 in float, where it is faster. With fewer
// channels its transforms cost what its products save; smaller images are mostly the unused part of a tile. Its
// rounding errors are larger (docs/numerics.md); double is the oracle and never computed so.
template <class T>
constexpr bool is_winograd(const ConvShape& s) {
  return sizeof(T) == sizeof(float) && s.kh == 3 && s.kw == 3 && s.stride == 1 && s.dilation == 1 && s.groups == 1 &&
         s.padding.h == s.padding.w && s.padding.h <= 2 && s.extra == 0 && s.c_in >= 16 && s.c_out >= 16 &&
         s.out_h() >= 3 && s.out_w() >= 3;
}

BOTH_BACKENDS(
    // y (n, out_h, out_w, c_out); bias (c_out) or null.
    template <class T> void conv2d_forward(Stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& shape);
    // dx (n, h, w, c_in) for dy (n, out_h, out_w, c_out).
    template <class T> void conv2d_backward_input(Stream, const T* dy, const T* w, T* dx, const ConvShape& shape);
    // dw (c_out, c_in / groups, kh, kw).
    template <class T> void conv2d_backward_weight(Stream, const T* dy, const T* x, T* dw, const ConvShape& shape);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_CONV2D(T)                                                             \
  template void conv2d_forward<T>(Stream, const T*, const T*, const T*, T*, const ConvShape&); \
  template void conv2d_backward_input<T>(Stream, const T*, const T*, T*, const ConvShape&);    \
  template void conv2d_backward_weight<T>(Stream, const T*, const T*, T*, const ConvShape&);
