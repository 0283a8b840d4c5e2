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

#define TAUT_CASTS(From)                                                     \
  template void cast<From, float>(Stream, const From*, float*, int64_t);     \
  template void cast<From, double>(Stream, const From*, double*, int64_t);   \
  template void cast<From, BF16>(Stream, const From*, BF16*, int64_t);       \
  template void cast<From, int32_t>(Stream, const From*, int32_t*, int64_t); \
  template void cast<From, int64_t>(Stream, const From*, int64_t*, int64_t); \
  template void cast<From, uint8_t>(Stream, const From*, uint8_t*, int64_t); \
  template void cast<From, bool>(Stream, const From*, bool*, int64_t);
#define TAUT_INSTANTIATE(T)                      \
  template void fill<T>(Stream, T, T*, int64_t); \
  TAUT_CASTS(T)
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)
TAUT_INSTANTIATE(BF16)
TAUT_INSTANTIATE(int32_t)
TAUT_INSTANTIATE(int64_t)
TAUT_INSTANTIATE(uint8_t)
TAUT_INSTANTIATE(bool)
#undef TAUT_INSTANTIATE
#undef TAUT_CASTS

}  // namespace taut::TAUT_GPU
