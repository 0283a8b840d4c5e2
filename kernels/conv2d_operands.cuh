// What the convolutions on a GPU share: images and weights as operands of matrix products, pixels as their results, the
// phases of an input gradient, and which convolutions are something simpler.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/conv2d_phase.h"
#include "kernels/device.cuh"
#include "kernels/layout.h"

namespace taut::TAUT_GPU {

// Below this many input channels the input gradient is added pixel by pixel, as the CPU does.
constexpr int64_t kFewChannels = 4;

// The windows of images (n, h, w, c) that positions (image, i, j) of rows_h x rows_w see: element (position, (r, s,
// c)), c innermost within the channels of a group, is
//   x[image, i step.h + top + r tap_step.h, j step.w + left + s tap_step.w, first + c], 0 outside the image.
// With `transposed`, the result index is (r, s, c) and k the position.
template <class T, bool transposed>
struct Windows {
  const T* x;
  int64_t n, h, w, c, channels, rows_h, rows_w;
  HW step;
  int64_t top, left, taps_h, taps_w;
  HW tap_step;
  int64_t first = 0;

  __device__ Windows item(int64_t group) const {
    Windows to = *this;
    to.first = group * channels;
    return to;
  }
  __host__ __device__ int64_t size() const { return transposed ? taps_h * taps_w * channels : n * rows_h * rows_w; }
  __device__ bool dense_along_k() const { return !transposed; }
  __device__ T load(int64_t i, int64_t k) const { return transposed ? element(k, i) : element(i, k); }
  __device__ T element(int64_t position, int64_t column) const {
    const T* const p = at(position, column);
    return p == nullptr ? T(0) : *p;
  }
  // Null outside the image.
  __device__ const T* at(int64_t position, int64_t column) const {
    const int64_t j = position % rows_w, i = position / rows_w % rows_h, image = position / rows_w / rows_h;
    const int64_t channel = column % channels, s = column / channels % taps_w, r = column / channels / taps_w;
    const int64_t y = i * step.h + top + r * tap_step.h, across = j * step.w + left + s * tap_step.w;
    if (y < 0 || y >= h || across < 0 || across >= w) return nullptr;
    return x + ((image * h + y) * w + across) * c + first + channel;
  }
};

// Position (image, i, j) of a product goes to pixel (image, top + i step.h, left + j step.w).
template <class T>
struct Pixels {
  T* y;
  const T* bias;
  int64_t h, w, c, channels, rows_h, rows_w;
  HW step;
  int64_t top, left;
  __device__ Pixels item(int64_t group) const {
    Pixels to = *this;
    to.y += group * channels;
    if (bias != nullptr) to.bias += group * channels;
    return to;
  }
  __device__ T* at(int64_t position) const {
    const int64_t j = position % rows_w, i = position / rows_w % rows_h, image = position / rows_w / rows_h;
    return y + ((image * h + top + i * step.h) * w + left + j * step.w) * c;
  }
  __device__ void store(int64_t position, int64_t channel, T s) const {
    at(position)[channel] = bias == nullptr ? s : s + bias[channel];
  }
};

// Orders in which a call keeps a copy of weights (c_out, c_in / groups, kh, kw), so that neighbours in a warp read
// neighbours in memory: (c_out, tap, c) and (group, tap, c, o). With one tap the first is how they are stored.
enum class WeightOrder { kInputsLast, kOutputsLast };

// to = from in that order or, `back`, from that order. Writes are whole lines.
template <class T>
void reorder_weights(Stream stream, const T* from, T* to, const ConvShape& s, WeightOrder order, bool back) {
  enum { kGroup, kOut, kIn, kTap, kDims };
  const int64_t size[kDims] = {s.groups, s.group_out(), s.group_in(), s.kh * s.kw};
  const bool inputs_last = order == WeightOrder::kInputsLast;
  const int stored[kDims] = {kGroup, kOut, kIn, kTap};
  const int kept[kDims] = {kGroup, inputs_last ? kOut : kTap, inputs_last ? kTap : kIn, inputs_last ? kIn : kOut};
  const int* const order_from = back ? kept : stored;
  const int* const order_to = back ? stored : kept;
  CopyShape copy{.dims = kDims};
  int64_t step_from[kDims], step_to = 1;
  for (int64_t d = kDims - 1, step = 1; d >= 0; --d) {
    step_from[order_from[d]] = step;
    step *= size[order_from[d]];
  }
  for (int64_t d = kDims - 1; d >= 0; --d) {
    copy.size[d] = size[order_to[d]];
    copy.stride_from[d] = step_from[order_to[d]];
    copy.stride_to[d] = step_to;
    step_to *= copy.size[d];
  }
  strided_copy(stream, from, to, sizeof(T), copy);
}

// Weights kept as (c_out, tap, c), as (tap of a phase, o) -> c of a group.
template <class T>
struct PhaseWeights {
  const T* weights;
  int64_t group_in, group_out, taps, kw;
  PhaseTaps rows, columns;

  __device__ PhaseWeights item(int64_t group) const {
    PhaseWeights to = *this;
    to.weights += group * group_out * taps * group_in;
    return to;
  }
  __host__ __device__ int64_t size() const { return group_in; }
  __device__ bool dense_along_k() const { return false; }
  __device__ const T* at(int64_t channel, int64_t k) const {
    const int64_t o = k % group_out, tap = k / group_out;
    const int64_t r = rows.tap(tap / columns.count), s = columns.tap(tap % columns.count);
    return weights + (o * taps + r * kw + s) * group_in + channel;
  }
  __device__ T load(int64_t channel, int64_t k) const { return *at(channel, k); }
};

template <class T, bool transposed>
Windows<T, transposed> windows_of(const T* x, const ConvShape& s) {
  return {x,         s.n,      s.h,          s.w,          s.c_in, s.group_in(), s.out_h(),
          s.out_w(), s.stride, -s.padding.h, -s.padding.w, s.kh,   s.kw,         s.dilation};
}

// The input gradient falls into phases, pixels of one row and column modulo the strides: f(taps of rows, taps of
// columns, pixels of dx) for each.
template <class T, class F>
void for_each_phase(const ConvShape& s, T* dx, F&& f) {
  for (int64_t top = 0; top < s.stride.h && top < s.h; ++top)
    for (int64_t left = 0; left < s.stride.w && left < s.w; ++left) {
      const int64_t rows_h = (s.h - top + s.stride.h - 1) / s.stride.h;
      const int64_t rows_w = (s.w - left + s.stride.w - 1) / s.stride.w;
      f(PhaseTaps(s.rows(), top), PhaseTaps(s.columns(), left),
        Pixels<T>{dx, nullptr, s.h, s.w, s.c_in, s.group_in(), rows_h, rows_w, s.stride, top, left});
    }
}
// The windows of dy that the pixels of a phase see.
template <class T>
Windows<T, false> windows_of_phase(const T* dy, const ConvShape& s, const PhaseTaps& rows, const PhaseTaps& columns,
                                   const Pixels<T>& to) {
  return {dy,        s.n,   s.out_h(),   s.out_w(),      s.c_out,    s.group_out(), to.rows_h,
          to.rows_w, HW(1), rows.offset, columns.offset, rows.count, columns.count, HW(rows.step, columns.step)};
}

inline bool is_linear(const ConvShape& s) {
  return s.groups == 1 && s.kh == 1 && s.kw == 1 && s.stride == 1 && s.padding == 0 && s.extra == 0;
}
inline bool is_depthwise(const ConvShape& s) { return s.groups > 1 && s.groups == s.c_in && s.groups == s.c_out; }

}  // namespace taut::TAUT_GPU
