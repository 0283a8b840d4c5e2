// fill and cast of kernels/pointwise.h: the element types beyond float and double.
#include "kernels/convert.h"
#include "kernels/loops.h"
#include "kernels/pointwise.h"

namespace taut::TAUT_CPU {

template <class T>
void fill(Stream, T value, T* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = value;
  });
}

template <class From, class To>
void cast(Stream, const From* x, To* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = convert<To>(x[i]);
  });
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

}  // namespace taut::TAUT_CPU
