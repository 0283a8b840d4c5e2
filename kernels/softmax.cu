// A warp works on a row: lane l takes elements l, l + 32, l + 64, ..., so that reads are whole lines and the sum is the
// contract's (64 partials, two a lane).
#include "kernels/softmax.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/rows.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;  // four rows a block

// The row's elements along the middle dimension of (outer, n, inner).
template <class T>
struct StridedRow {
  int64_t first, step;
  __device__ StridedRow(int64_t row, int64_t n, int64_t inner)
      : first(row / inner * n * inner + row % inner), step(inner) {}
  __device__ int64_t operator[](int64_t i) const { return first + i * step; }
};

template <class T>
__global__ void softmax_forward_kernel(const T* x, T* y, int64_t rows, int64_t n, int64_t inner) {
  using R = Real<T>;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const R m = row_max<R>(n, [&](int64_t i) { return widen(x[at[i]]); });
    const R sum = row_sum<R>(n, [&](int64_t i) {
      const R e = exp(widen(x[at[i]]) - m);
      if constexpr (kSame<T, R>) y[at[i]] = e;
      return e;
    });
    const R inverse = R(1) / sum;
    for (int64_t i = lane(); i < n; i += kWarpSize) {
      if constexpr (kSame<T, R>)
        y[at[i]] = y[at[i]] * inverse;
      else  // a rounded exponential is not to be rounded again
        y[at[i]] = convert<T>(exp(widen(x[at[i]]) - m) * inverse);
    }
  }
}

template <class T>
__global__ void softmax_backward_kernel(const T* dy, const T* y, T* dx, int64_t rows, int64_t n, int64_t inner) {
  using R = Real<T>;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const R sum = row_sum<R>(n, [&](int64_t i) { return widen(dy[at[i]]) * widen(y[at[i]]); });
    for (int64_t i = lane(); i < n; i += kWarpSize) dx[at[i]] = convert<T>(widen(y[at[i]]) * (widen(dy[at[i]]) - sum));
  }
}

template <class T>
__global__ void log_softmax_forward_kernel(const T* x, T* y, int64_t rows, int64_t n, int64_t inner) {
  using R = Real<T>;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const R m = row_max<R>(n, [&](int64_t i) { return widen(x[at[i]]); });
    const R log_sum = log(row_sum<R>(n, [&](int64_t i) { return exp(widen(x[at[i]]) - m); }));
    for (int64_t i = lane(); i < n; i += kWarpSize) y[at[i]] = convert<T>((widen(x[at[i]]) - m) - log_sum);
  }
}

template <class T>
__global__ void log_softmax_backward_kernel(const T* dy, const T* y, T* dx, int64_t rows, int64_t n, int64_t inner) {
  using R = Real<T>;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const R minus_sum = -row_sum<R>(n, [&](int64_t i) { return widen(dy[at[i]]); });
    for (int64_t i = lane(); i < n; i += kWarpSize)
      dx[at[i]] = convert<T>(fma(exp(widen(y[at[i]])), minus_sum, widen(dy[at[i]])));
  }
}

}  // namespace

template <class T>
void softmax_forward(Stream stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (n == 0) return;
  launch(softmax_forward_kernel<T>, grid_of_warps(outer * inner, kThreads), kThreads, 0, stream, x, y, outer * inner, n,
         inner);
}

template <class T>
void softmax_backward(Stream stream, const T* dy, const T* y, T* dx, int64_t outer, int64_t n, int64_t inner) {
  launch(softmax_backward_kernel<T>, grid_of_warps(outer * inner, kThreads), kThreads, 0, stream, dy, y, dx,
         outer * inner, n, inner);
}

template <class T>
void log_softmax_forward(Stream stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (n == 0) return;
  launch(log_softmax_forward_kernel<T>, grid_of_warps(outer * inner, kThreads), kThreads, 0, stream, x, y,
         outer * inner, n, inner);
}

template <class T>
void log_softmax_backward(Stream stream, const T* dy, const T* y, T* dx, int64_t outer, int64_t n, int64_t inner) {
  launch(log_softmax_backward_kernel<T>, grid_of_warps(outer * inner, kThreads), kThreads, 0, stream, dy, y, dx,
         outer * inner, n, inner);
}

TAUT_INSTANTIATE_SOFTMAX(float)
TAUT_INSTANTIATE_SOFTMAX(double)
TAUT_INSTANTIATE_SOFTMAX(BF16)

}  // namespace taut::TAUT_GPU
