// Convolutions of bf16 and tf32 by cuDNN where it is in use, else as implicit matrix products on tensor cores
// (kernels/tensor_product.cuh); with a bias always the latter, which adds it before it rounds. Weights are
// turned once a call, so that 16 bytes of an operand are neighbouring channels. Depthwise convolutions, and the input
// gradient where there are few channels, have no matrix product worth a tensor core: they are the f32 kernels, of bf16
// by way of floats.
#include "kernels/conv2d_operands.cuh"
#include "kernels/cuda/dnn.h"
#include "kernels/matmul.h"
#include "kernels/sums.cuh"
#include "kernels/tensor_product.cuh"

namespace taut::TAUT_GPU {
namespace {

// Windows of which 16 bytes at a time are channels of one pixel.
template <class E, bool transposed>
struct TensorWindows {
  static constexpr bool kAlongK = !transposed;
  Windows<E, transposed> windows;
  bool chunks;

  explicit TensorWindows(const Windows<E, transposed>& w)
      : windows(w), chunks(aligned16(w.x) && w.c % kChunk<E> == 0 && w.channels % kChunk<E> == 0) {}
  __device__ TensorWindows item(int64_t group) const {
    TensorWindows to = *this;
    to.windows = windows.item(group);
    return to;
  }
  __host__ __device__ int64_t size() const { return windows.size(); }
  __device__ bool in_chunks() const { return chunks; }
  __device__ E load(int64_t i, int64_t k) const {
    const E* const p = transposed ? windows.at(k, i) : windows.at(i, k);
    return p == nullptr ? E{} : *p;
  }
  __device__ Chunk<E> chunk(int64_t i, int64_t k, int64_t end_k) const {
    if (i >= size() || k >= end_k) return {windows.x, 0};
    const E* const p = transposed ? windows.at(k, i) : windows.at(i, k);
    return p == nullptr ? Chunk<E>{windows.x, 0} : Chunk<E>{p, kChunk<E>};
  }
};

// The same of weights.
template <class E>
struct TensorPhaseWeights {
  static constexpr bool kAlongK = false;
  PhaseWeights<E> weights;
  bool chunks;

  explicit TensorPhaseWeights(const PhaseWeights<E>& w) : weights(w), chunks(w.group_in % kChunk<E> == 0) {}
  __device__ TensorPhaseWeights item(int64_t group) const {
    TensorPhaseWeights to = *this;
    to.weights = weights.item(group);
    return to;
  }
  __host__ __device__ int64_t size() const { return weights.size(); }
  __device__ bool in_chunks() const { return chunks; }
  __device__ E load(int64_t channel, int64_t k) const { return weights.load(channel, k); }
  __device__ Chunk<E> chunk(int64_t channel, int64_t k, int64_t end_k) const {
    if (channel >= size() || k >= end_k) return {weights.weights, 0};
    return {weights.at(channel, k), kChunk<E>};
  }
};

template <class E>
struct TensorPixels {
  Pixels<E> pixels;
  bool chunks;

  explicit TensorPixels(const Pixels<E>& p)
      : pixels(p), chunks(aligned16(p.y) && aligned16(p.bias) && p.c % kChunk<E> == 0 && p.channels % kChunk<E> == 0) {}
  __device__ TensorPixels item(int64_t group) const {
    TensorPixels to = *this;
    to.pixels = pixels.item(group);
    return to;
  }
  __device__ void store(int64_t position, int64_t channel, float (&s)[8], int64_t count) const {
    const bool whole = chunks && count == 8;
    if (pixels.bias != nullptr) {
      float bias[8];
      load8(pixels.bias + channel, bias, count, whole);
#pragma unroll
      for (int e = 0; e < 8; ++e) s[e] = s[e] + bias[e];
    }
    store8(pixels.at(position) + channel, s, count, whole);
  }
};

// Gradients of weights in the layout (c_out, taps, c_in / groups): row o of a group, column (tap, c).
template <class E>
struct TensorWeights {
  E* dw;
  int64_t columns, stride;
  bool chunks;
  __device__ TensorWeights item(int64_t group) const { return {dw + group * stride, columns, stride, chunks}; }
  __device__ void store(int64_t o, int64_t column, float (&s)[8], int64_t count) const {
    store8(dw + o * columns + column, s, count, chunks && count == 8);
  }
};

template <class E>
constexpr DnnElement kDnn = kSame<E, BF16> ? DnnElement::kBF16 : DnnElement::kTF32;

template <class E>
void tensor_conv2d_forward(Stream stream, const E* x, const E* w, const E* bias, E* y, const ConvShape& s) {
  const DeviceScratch<E> weights(s.weights());
  reorder_weights<E>(stream, w, weights, s, WeightOrder::kInputsLast, false);
  if (bias == nullptr && dnn_conv2d(stream, kDnn<E>, DnnPass::kForward, x, weights, y, s)) return;
  const int64_t k = s.kh * s.kw * s.group_in();
  const Pixels<E> to{y, bias, s.out_h(), s.out_w(), s.c_out, s.group_out(), s.out_h(), s.out_w(), HW(1), 0, 0};
  launch_tensor_product<E>(stream, TensorWindows<E, false>(windows_of<E, false>(x, s)),
                           StoredMatrix<E, true>(weights, k, s.group_out(), s.group_out() * k), TensorPixels<E>(to), k,
                           s.groups);
}

template <class E>
void tensor_conv2d_backward_input(Stream stream, const E* dy, const E* w, E* dx, const ConvShape& s) {
  const DeviceScratch<E> weights(s.weights());
  reorder_weights<E>(stream, w, weights, s, WeightOrder::kInputsLast, false);
  if (dnn_conv2d(stream, kDnn<E>, DnnPass::kBackwardInput, dx, weights, dy, s)) return;
  for_each_phase<E>(s, dx, [&](const PhaseTaps& rows, const PhaseTaps& columns, const Pixels<E>& to) {
    const PhaseWeights<E> of_phase{weights, s.group_in(), s.group_out(), s.kh * s.kw, s.kw, rows, columns};
    launch_tensor_product<E>(stream, TensorWindows<E, false>(windows_of_phase(dy, s, rows, columns, to)),
                             TensorPhaseWeights<E>(of_phase), TensorPixels<E>(to),
                             rows.count * columns.count * s.group_out(), s.groups);
  });
}

template <class E>
void tensor_conv2d_backward_weight(Stream stream, const E* dy, const E* x, E* dw, const ConvShape& s) {
  const int64_t columns = s.kh * s.kw * s.group_in();
  const DeviceScratch<E> weights(s.weights());
  if (!dnn_conv2d(stream, kDnn<E>, DnnPass::kBackwardWeight, x, weights, dy, s))
    launch_tensor_product<E>(stream, StoredMatrix<E, false>(dy, s.c_out, s.group_out(), s.group_out()),
                             TensorWindows<E, true>(windows_of<E, true>(x, s)),
                             TensorWeights<E>{weights, columns, s.group_out() * columns, columns % kChunk<E> == 0},
                             s.rows_out(), s.groups);
  reorder_weights<E>(stream, weights, dw, s, WeightOrder::kInputsLast, true);
}

// A tensor as floats for the time of a call: itself, or a copy of bf16 elements.
class AsFloats {
 public:
  AsFloats(Stream, const float* p, int64_t) : copy_(0), p_(p) {}
  AsFloats(Stream stream, const BF16* p, int64_t n) : copy_(n), p_(copy_) { cast<BF16, float>(stream, p, copy_, n); }
  operator const float*() const { return p_; }

 private:
  DeviceScratch<float> copy_;
  const float* p_;
};
// Calls f with memory for n floats that become the n elements at `to`.
template <class F>
void through_floats(Stream, float* to, int64_t, F&& f) {
  f(to);
}
template <class F>
void through_floats(Stream stream, BF16* to, int64_t n, F&& f) {
  const DeviceScratch<float> result(n);
  f(static_cast<float*>(result));
  cast<float, BF16>(stream, result, to, n);
}

int64_t count_in(const ConvShape& s) { return s.n * s.h * s.w * s.c_in; }
int64_t count_out(const ConvShape& s) { return s.rows_out() * s.c_out; }

template <class E>
void forward(Stream stream, const E* x, const E* w, const E* bias, E* y, const ConvShape& s) {
  if (!is_depthwise(s)) return tensor_conv2d_forward(stream, x, w, bias, y, s);
  const AsFloats fx(stream, x, count_in(s)), fw(stream, w, s.weights());
  const AsFloats fbias(stream, bias, bias != nullptr ? s.c_out : 0);
  through_floats(stream, y, count_out(s), [&](float* to) {
    conv2d_forward<float>(stream, fx, fw, bias != nullptr ? static_cast<const float*>(fbias) : nullptr, to, s);
  });
}

template <class E>
void backward_input(Stream stream, const E* dy, const E* w, E* dx, const ConvShape& s) {
  if (!is_depthwise(s) && (s.groups > 1 || s.c_in > kFewChannels))
    return tensor_conv2d_backward_input(stream, dy, w, dx, s);
  const AsFloats fdy(stream, dy, count_out(s)), fw(stream, w, s.weights());
  through_floats(stream, dx, count_in(s), [&](float* to) { conv2d_backward_input<float>(stream, fdy, fw, to, s); });
}

template <class E>
void backward_weight(Stream stream, const E* dy, const E* x, E* dw, const ConvShape& s) {
  if (!is_depthwise(s)) return tensor_conv2d_backward_weight(stream, dy, x, dw, s);
  const AsFloats fdy(stream, dy, count_out(s)), fx(stream, x, count_in(s));
  through_floats(stream, dw, s.weights(), [&](float* to) { conv2d_backward_weight<float>(stream, fdy, fx, to, s); });
}

}  // namespace

#define TAUT_CONVOLUTIONS(T)                                                                               \
  template <>                                                                                              \
  void conv2d_forward<T>(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) { \
    if (is_linear(s))                                                                                      \
      return linear_forward<T>(stream, x, w, bias, nullptr, y, nullptr, s.rows_out(), s.c_in, s.c_out,     \
                               bias == nullptr ? Epilogue::kNone : Epilogue::kBias);                       \
    forward(stream, elements(x), elements(w), elements(bias), elements(y), s);                             \
  }                                                                                                        \
  template <>                                                                                              \
  void conv2d_backward_input<T>(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& s) {       \
    if (is_linear(s)) return linear_backward_input<T>(stream, dy, w, dx, s.rows_out(), s.c_in, s.c_out);   \
    backward_input(stream, elements(dy), elements(w), elements(dx), s);                                    \
  }                                                                                                        \
  template <>                                                                                              \
  void conv2d_backward_weight<T>(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& s) {      \
    if (is_linear(s)) return linear_backward_weight<T>(stream, dy, x, dw, s.rows_out(), s.c_in, s.c_out);  \
    backward_weight(stream, elements(dy), elements(x), elements(dw), s);                                   \
  }
TAUT_CONVOLUTIONS(BF16)
TAUT_CONVOLUTIONS(TF32)
#undef TAUT_CONVOLUTIONS

}  // namespace taut::TAUT_GPU
