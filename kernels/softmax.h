// Softmax and its logarithm over the middle dimension of (outer, n, inner); inner is 1 for the last dimension.
//
//   m = max x;  e = exp(x - m), s = sum e;  softmax = e (1/s);  log_softmax = (x - m) - log s
//   softmax:     dx = y (dy - sum(y dy))        log_softmax: dx = dy - exp(y) sum(dy)
//
// The sums over n are row sums for every inner (kernels/reduce.h). -inf gives exactly 0; a NaN, or a row of -inf alone,
// gives a row of NaN. y may be x, dx may be dy.
#pragma once

#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(template <class T>
              void softmax_forward(Stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner);
              template <class T>
              void softmax_backward(Stream, const T* dy, const T* y, T* dx, int64_t outer, int64_t n, int64_t inner);
              template <class T>
              void log_softmax_forward(Stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner);
              template <class T> void log_softmax_backward(Stream, const T* dy, const T* y, T* dx, int64_t outer,
                                                           int64_t n, int64_t inner);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_SOFTMAX(T)                                                             \
  template void softmax_forward<T>(Stream, const T*, T*, int64_t, int64_t, int64_t);            \
  template void softmax_backward<T>(Stream, const T*, const T*, T*, int64_t, int64_t, int64_t); \
  template void log_softmax_forward<T>(Stream, const T*, T*, int64_t, int64_t, int64_t);        \
  template void log_softmax_backward<T>(Stream, const T*, const T*, T*, int64_t, int64_t, int64_t);
