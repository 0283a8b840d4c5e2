// Chooses how a convolution is computed, by its shape alone (kernels/conv2d_parts.h).
#include "kernels/conv2d.h"

#include "kernels/conv2d_parts.h"
#include "kernels/matmul.h"
#include "kernels/parallel.h"

namespace taut::TAUT_CPU {
namespace {

// A linear layer over pixels.
bool is_linear(const ConvShape& s) {
  return s.kh == 1 && s.kw == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
}

}  // namespace

template <class T>
void conv2d_forward(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  if (is_linear(s))
    linear_forward<T>(stream, x, w, bias, nullptr, y, nullptr, s.rows_out(), s.c_in, s.c_out,
                      bias == nullptr ? Epilogue::kNone : Epilogue::kBias);
  else
    conv_gemm_forward(x, w, bias, y, s);
}

template <class T>
void conv2d_backward_input(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& s) {
  if (is_linear(s))
    linear_backward_input(stream, dy, w, dx, s.rows_out(), s.c_in, s.c_out);
  else
    conv_gemm_backward_input(dy, w, dx, s);
}

template <class T>
void conv2d_backward_weight(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& s) {
  if (is_linear(s))
    linear_backward_weight(stream, dy, x, dw, s.rows_out(), s.c_in, s.c_out);
  else
    conv_gemm_backward_weight(dy, x, dw, s);
}

#define TAUT_INSTANTIATE(T)                                                                    \
  template void conv2d_forward<T>(Stream, const T*, const T*, const T*, T*, const ConvShape&); \
  template void conv2d_backward_input<T>(Stream, const T*, const T*, T*, const ConvShape&);    \
  template void conv2d_backward_weight<T>(Stream, const T*, const T*, T*, const ConvShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)
#undef TAUT_INSTANTIATE

}  // namespace taut::TAUT_CPU
