// A warp works on a row: lane l takes elements l, l + 32, l + 64, ..., so that reads are whole lines and the sum is the
// contract's (64 partials, two a lane).
#include "kernels/softmax.h"

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
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const T m = row_max<T>(n, [&](int64_t i) { return x[at[i]]; });
    const T sum = row_sum<T>(n, [&](int64_t i) { return y[at[i]] = exp(x[at[i]] - m); });
    const T inverse = T(1) / sum;
    for (int64_t i = lane(); i < n; i += kWarpSize) y[at[i]] = y[at[i]] * inverse;
  }
}

template <class T>
__global__ void softmax_backward_kernel(const T* dy, const T* y, T* dx, int64_t rows, int64_t n, int64_t inner) {
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const T sum = row_sum<T>(n, [&](int64_t i) { return dy[at[i]] * y[at[i]]; });
    for (int64_t i = lane(); i < n; i += kWarpSize) dx[at[i]] = y[at[i]] * (dy[at[i]] - sum);
  }
}

template <class T>
__global__ void log_softmax_forward_kernel(const T* x, T* y, int64_t rows, int64_t n, int64_t inner) {
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const T m = row_max<T>(n, [&](int64_t i) { return x[at[i]]; });
    const T log_sum = log(row_sum<T>(n, [&](int64_t i) { return exp(x[at[i]] - m); }));
    for (int64_t i = lane(); i < n; i += kWarpSize) y[at[i]] = (x[at[i]] - m) - log_sum;
  }
}

template <class T>
__global__ void log_softmax_backward_kernel(const T* dy, const T* y, T* dx, int64_t rows, int64_t n, int64_t inner) {
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const StridedRow<T> at(row, n, inner);
    const T minus_sum = -row_sum<T>(n, [&](int64_t i) { return dy[at[i]]; });
    for (int64_t i = lane(); i < n; i += kWarpSize) dx[at[i]] = fma(exp(y[at[i]]), minus_sum, dy[at[i]]);
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

}  // namespace taut::TAUT_GPU
