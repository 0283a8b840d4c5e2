// Convolutions as implicit matrix products (kernels/product.cuh): an operand finds its element in the images, the
// matrix of windows never exists; weights are turned once a call, so that a warp reads neighbours. In the numeric
// contract's orders (docs/numerics.md); Winograd's algorithm is the CPU's alone.
#include "kernels/conv2d.h"

#include "kernels/conv2d_operands.cuh"
#include "kernels/matmul.h"
#include "kernels/product.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

// Row (tap, c), column o of the weight gradient, kept as (group, tap, c, o).
template <class T>
struct WeightGradients {
  T* dw;
  int64_t rows, group_out;
  __device__ WeightGradients item(int64_t group) const { return {dw + group * rows * group_out, rows, group_out}; }
  __device__ void store(int64_t row, int64_t o, T s) const { dw[row * group_out + o] = s; }
};

// ---- few input channels ---------------------------------------------------------------------------------------------

// Every pixel adds, from zero and in ascending order of the outputs that see it, products over c_out.
template <class T>
__global__ void few_backward_input_kernel(const T* dy, const T* w, T* dx, ConvShape s, int64_t block) {
  const int64_t out_h = s.out_h(), out_w = s.out_w();
  for (int64_t at = thread_in_grid(); at < s.n * s.h * s.w * s.c_in; at += threads_in_grid()) {
    const int64_t channel = at % s.c_in, x = at / s.c_in % s.w, y = at / s.c_in / s.w % s.h;
    const int64_t image = at / s.c_in / s.w / s.h;
    const PhaseTaps rows(s.rows(), y % s.stride.h), columns(s.columns(), x % s.stride.w);
    T sum = 0;
    for (int64_t u = 0; u < rows.count; ++u) {
      const int64_t i = y / s.stride.h + rows.offset + u * rows.step;
      if (i < 0 || i >= out_h) continue;
      for (int64_t v = 0; v < columns.count; ++v) {
        const int64_t j = x / s.stride.w + columns.offset + v * columns.step;
        if (j < 0 || j >= out_w) continue;
        const T* const g = dy + ((image * out_h + i) * out_w + j) * s.c_out;
        const T* const weights = w + (channel * s.kh + rows.tap(u)) * s.kw + columns.tap(v);
        T product = 0;
        for (int64_t begin = 0; begin < s.c_out; begin += block) {
          T chain = 0;
          for (int64_t o = begin; o < begin + block && o < s.c_out; ++o)
            chain = fma(weights[o * s.c_in * s.kh * s.kw], g[o], chain);
          product = begin == 0 ? chain : product + chain;
        }
        sum = sum + product;
      }
    }
    dx[at] = sum;
  }
}

// ---- a group for each channel ---------------------------------------------------------------------------------------

// Its weights are those of one group with one input channel, kept as (tap, channel).
ConvShape as_one_group(ConvShape s) {
  s.groups = s.c_in = 1;
  return s;
}

// One chain over the taps.
template <class T>
__global__ void depthwise_kernel(Windows<T, false> windows, const T* w, int64_t kw, PhaseTaps rows, PhaseTaps columns,
                                 Pixels<T> to, int64_t count) {
  for (int64_t at = thread_in_grid(); at < count; at += threads_in_grid()) {
    const int64_t channel = at % windows.c, position = at / windows.c;
    const Windows<T, false> mine = windows.item(channel);
    T sum = 0;
    for (int64_t u = 0; u < rows.count; ++u)
      for (int64_t v = 0; v < columns.count; ++v)
        sum = fma(mine.element(position, u * columns.count + v),
                  w[(rows.tap(u) * kw + columns.tap(v)) * windows.c + channel], sum);
    to.store(position, channel, sum);
  }
}

// dw (tap, channel).
template <class T>
__global__ void depthwise_backward_weight_kernel(Windows<T, false> windows, const T* dy, T* dw, int64_t taps,
                                                 int64_t positions, int64_t block) {
  for (int64_t at = thread_in_grid(); at < windows.c * taps; at += threads_in_grid()) {
    const int64_t channel = at % windows.c, tap = at / windows.c;
    const Windows<T, false> mine = windows.item(channel);
    T sum = 0;
    for (int64_t begin = 0; begin < positions; begin += block) {
      T chain = 0;
      for (int64_t p = begin; p < begin + block && p < positions; ++p)
        chain = fma(mine.element(p, tap), dy[p * windows.c + channel], chain);
      sum = begin == 0 ? chain : sum + chain;
    }
    dw[at] = sum;
  }
}

}  // namespace

template <class T>
void conv2d_forward(Stream stream, const T* x, const T* w, const T* bias, T* y, const ConvShape& s) {
  if (is_linear(s))
    return linear_forward<T>(stream, x, w, bias, nullptr, y, nullptr, s.rows_out(), s.c_in, s.c_out,
                             bias == nullptr ? Epilogue::kNone : Epilogue::kBias);
  const Windows<T, false> windows = windows_of<T, false>(x, s);
  const Pixels<T> to{y, bias, s.out_h(), s.out_w(), s.c_out, s.group_out(), s.out_h(), s.out_w(), HW(1), 0, 0};
  if (is_depthwise(s)) {
    const int64_t count = s.rows_out() * s.c_out;
    const DeviceScratch<T> kept(s.weights());
    reorder_weights<T>(stream, w, kept, as_one_group(s), WeightOrder::kOutputsLast, false);
    return launch(depthwise_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, windows,
                  static_cast<const T*>(kept), s.kw, PhaseTaps::all(s.kh), PhaseTaps::all(s.kw), to, count);
  }
  const int64_t k = s.kh * s.kw * s.group_in(), out = s.group_out();
  const bool one_tap = s.kh * s.kw == 1;  // weights are dense along k
  const DeviceScratch<T> kept(one_tap ? 0 : s.weights());
  if (!one_tap) reorder_weights<T>(stream, w, kept, s, WeightOrder::kOutputsLast, false);
  const Matrix<T> weights = one_tap ? Matrix<T>{w, k, 1, out, out * k} : Matrix<T>{kept, 1, out, out, out * k};
  launch_product<T>(stream, windows, weights, to, k, s.groups);
}

template <class T>
void conv2d_backward_input(Stream stream, const T* dy, const T* w, T* dx, const ConvShape& s) {
  if (is_linear(s)) return linear_backward_input(stream, dy, w, dx, s.rows_out(), s.c_in, s.c_out);
  if (s.groups == 1 && s.c_in <= kFewChannels) {
    const int64_t count = s.n * s.h * s.w * s.c_in;
    return launch(few_backward_input_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, dy, w, dx, s,
                  k_block(s.c_out));
  }
  const bool as_stored = s.kh * s.kw == 1;
  const DeviceScratch<T> kept(as_stored ? 0 : s.weights());
  if (!as_stored && is_depthwise(s))
    reorder_weights<T>(stream, w, kept, as_one_group(s), WeightOrder::kOutputsLast, false);
  else if (!as_stored)
    reorder_weights<T>(stream, w, kept, s, WeightOrder::kInputsLast, false);
  const T* const weights = as_stored ? w : kept;
  for_each_phase<T>(s, dx, [&](const PhaseTaps& rows, const PhaseTaps& columns, const Pixels<T>& to) {
    const Windows<T, false> windows = windows_of_phase(dy, s, rows, columns, to);
    if (is_depthwise(s)) {
      const int64_t count = s.n * to.rows_h * to.rows_w * s.c_in;
      return launch(depthwise_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, windows, weights, s.kw, rows,
                    columns, to, count);
    }
    launch_product<T>(stream, windows,
                      PhaseWeights<T>{weights, s.group_in(), s.group_out(), s.kh * s.kw, s.kw, rows, columns}, to,
                      rows.count * columns.count * s.group_out(), s.groups);
  });
}

template <class T>
void conv2d_backward_weight(Stream stream, const T* dy, const T* x, T* dw, const ConvShape& s) {
  if (is_linear(s)) return linear_backward_weight(stream, dy, x, dw, s.rows_out(), s.c_in, s.c_out);
  const int64_t taps = s.kh * s.kw, positions = s.rows_out();
  const DeviceScratch<T> kept(s.weights());
  if (is_depthwise(s)) {
    launch(depthwise_backward_weight_kernel<T>, grid_for(s.c_in * taps, kThreads), kThreads, 0, stream,
           windows_of<T, false>(x, s), dy, static_cast<T*>(kept), taps, positions, k_block(positions));
    return reorder_weights<T>(stream, kept, dw, as_one_group(s), WeightOrder::kOutputsLast, true);
  }
  const int64_t out = s.group_out();
  launch_product<T>(stream, windows_of<T, true>(x, s), Matrix<T>{dy, 1, s.c_out, out, out},
                    WeightGradients<T>{kept, taps * s.group_in(), out}, positions, s.groups);
  reorder_weights<T>(stream, kept, dw, s, WeightOrder::kOutputsLast, true);
}

TAUT_INSTANTIATE_CONV2D(float)
TAUT_INSTANTIATE_CONV2D(double)

}  // namespace taut::TAUT_GPU
