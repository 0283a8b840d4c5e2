#include "kernels/conv2d.h"

#include "kernels/parallel.h"
#include "kernels/simd.h"

namespace taut::TAUT_CPU {
namespace {

// body(out_pixel, in_pixel) over the output pixels of one image and the input pixel of tap (r, s), -1 for padding.
template <class Body>
void for_tap(const ConvShape& s, int64_t r, int64_t q, Body&& body) {
  for (int64_t i = 0; i < s.out_h(); ++i) {
    const int64_t y = i * s.stride - s.padding + r * s.dilation;
    for (int64_t j = 0; j < s.out_w(); ++j) {
      const int64_t x = j * s.stride - s.padding + q * s.dilation;
      const bool inside = y >= 0 && y < s.h && x >= 0 && x < s.w;
      body(i * s.out_w() + j, inside ? y * s.w + x : -1);
    }
  }
}

}  // namespace

template <class T>
void conv2d_forward(Stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  const int64_t in = s.h * s.w * s.c_in, out = s.out_h() * s.out_w() * s.c_out, cg = s.group_in(), og = s.group_out();
  parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* const yb = y + b * out;
      for (int64_t i = 0; i < out; ++i) yb[i] = T(0);
      for (int64_t r = 0; r < s.kh; ++r)
        for (int64_t q = 0; q < s.kw; ++q)
          for_tap(s, r, q, [&](int64_t to, int64_t from) {
            for (int64_t o = 0; o < s.c_out; ++o)
              for (int64_t c = 0; c < cg; ++c)
                yb[to * s.c_out + o] += (from < 0 ? T(0) : x[b * in + from * s.c_in + o / og * cg + c]) *
                                        w[((o * cg + c) * s.kh + r) * s.kw + q];
          });
      if (bias != nullptr)
        for (int64_t i = 0; i < out; ++i) yb[i] += bias[i % s.c_out];
    }
  });
}

template <class T>
void conv2d_backward_input(Stream, const T* dy, const T* w, T* dx, const ConvShape& s) {
  const int64_t in = s.h * s.w * s.c_in, out = s.out_h() * s.out_w() * s.c_out, cg = s.group_in(), og = s.group_out();
  parallel_for(s.n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t i = 0; i < in; ++i) dx[b * in + i] = T(0);
      for (int64_t r = 0; r < s.kh; ++r)
        for (int64_t q = 0; q < s.kw; ++q)
          for_tap(s, r, q, [&](int64_t to, int64_t from) {
            for (int64_t o = 0; o < s.c_out && from >= 0; ++o)
              for (int64_t c = 0; c < cg; ++c)
                dx[b * in + from * s.c_in + o / og * cg + c] +=
                    dy[b * out + to * s.c_out + o] * w[((o * cg + c) * s.kh + r) * s.kw + q];
          });
    }
  });
}

template <class T>
void conv2d_backward_weight(Stream, const T* dy, const T* x, T* dw, const ConvShape& s) {
  const int64_t in = s.h * s.w * s.c_in, out = s.out_h() * s.out_w() * s.c_out, cg = s.group_in(), og = s.group_out();
  parallel_for(s.c_out, 1, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t c = 0; c < cg; ++c)
        for (int64_t r = 0; r < s.kh; ++r)
          for (int64_t q = 0; q < s.kw; ++q) {
            T sum = T(0);
            for (int64_t b = 0; b < s.n; ++b)
              for_tap(s, r, q, [&](int64_t to, int64_t from) {
                if (from >= 0) sum += dy[b * out + to * s.c_out + o] * x[b * in + from * s.c_in + o / og * cg + c];
              });
            dw[((o * cg + c) * s.kh + r) * s.kw + q] = sum;
          }
    }
  });
}

#define TAUT_INSTANTIATE(T)                                                                    \
  template void conv2d_forward<T>(Stream, const T*, const T*, const T*, T*, const ConvShape&); \
  template void conv2d_backward_input<T>(Stream, const T*, const T*, T*, const ConvShape&);    \
  template void conv2d_backward_weight<T>(Stream, const T*, const T*, T*, const ConvShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)
#undef TAUT_INSTANTIATE

}  // namespace taut::TAUT_CPU
