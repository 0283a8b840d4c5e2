// Chooses how a convolution is computed, by its shape alone (kernels/conv2d_parts.h).
#include "kernels/conv2d.h"

#include "kernels/conv2d_parts.h"
#include "kernels/matmul.h"

namespace taut::TAUT_CPU {
namespace {

// Below this many input channels the input gradient's product, c_in wide, would leave most lanes of a vector empty.
constexpr int64_t kFewChannels = 4;

enum class Way { kLinear, kDepthwise, kWinograd, kProduct };

// The batch does not enter: an image's bytes must not depend on its neighbours.
template <class T>
Way way_of(const ConvShape& s) {
  if (s.groups > 1) return s.groups == s.c_in && s.groups == s.c_out ? Way::kDepthwise : Way::kProduct;
  if (s.kh == 1 && s.kw == 1 && s.stride == 1 && s.padding == 0 && s.extra == 0)
    return Way::kLinear;  // a linear layer over pixels
  if (is_winograd<T>(s)) return Way::kWinograd;
  return Way::kProduct;
}

}  // namespace

template <class T>
void conv2d_forward(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  switch (way_of<T>(s)) {
    case Way::kLinear:
      return linear_forward<T>(stream, x, w, bias, nullptr, y, nullptr, s.rows_out(), s.c_in, s.c_out,
                               bias == nullptr ? Epilogue::kNone : Epilogue::kBias);
    case Way::kDepthwise: return conv_depthwise_forward(x, w, bias, y, s);
    case Way::kWinograd: return conv_winograd_forward(x, w, bias, y, s);
    case Way::kProduct: return conv_gemm_forward(x, w, bias, y, s);
  }
}

template <class T>
void conv2d_backward_input(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& s) {
  switch (way_of<T>(s)) {
    case Way::kLinear: return linear_backward_input(stream, dy, w, dx, s.rows_out(), s.c_in, s.c_out);
    case Way::kDepthwise: return conv_depthwise_backward_input(dy, w, dx, s);
    case Way::kWinograd: return conv_winograd_backward_input(dy, w, dx, s);
    case Way::kProduct:
      if (s.groups == 1 && s.c_in <= kFewChannels) return conv_few_backward_input(dy, w, dx, s);
      return conv_gemm_backward_input(dy, w, dx, s);
  }
}

template <class T>
void conv2d_backward_weight(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& s) {
  switch (way_of<T>(s)) {
    case Way::kLinear: return linear_backward_weight(stream, dy, x, dw, s.rows_out(), s.c_in, s.c_out);
    case Way::kDepthwise: return conv_depthwise_backward_weight(dy, x, dw, s);
    case Way::kWinograd: return conv_winograd_backward_weight(dy, x, dw, s);
    case Way::kProduct: return conv_gemm_backward_weight(dy, x, dw, s);
  }
}

TAUT_INSTANTIATE_CONV2D(float)
TAUT_INSTANTIATE_CONV2D(double)

}  // namespace taut::TAUT_CPU
