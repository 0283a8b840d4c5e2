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

TAUT_INSTANTIATE_CASTS

}  // namespace taut::TAUT_CPU
