// fill and cast of kernels/pointwise.h, an element a thread.
#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/pointwise.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void fill_kernel(T value, T* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = value;
}

template <class From, class To>
__global__ void cast_kernel(const From* x, To* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = convert<To>(x[i]);
}

}  // namespace

template <class T>
void fill(Stream stream, T value, T* y, int64_t n) {
  launch(fill_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, value, y, n);
}

template <class From, class To>
void cast(Stream stream, const From* x, To* y, int64_t n) {
  launch(cast_kernel<From, To>, grid_for(n, kThreads), kThreads, 0, stream, x, y, n);
}

TAUT_INSTANTIATE_CASTS

}  // namespace taut::TAUT_GPU
