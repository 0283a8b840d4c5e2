// Batch normalisation over all dimensions but the last, the channels (Ioffe and Szegedy, 2015), with what follows it in
// a residual net: a sum and a ReLU.
//
//   mean = sum(x) / rows, var = sum((x - mean)^2) / rows (biased), rstd = 1 / sqrt(var + eps); evaluation: the running
//   statistics in their places
//   y = (x - mean) (rstd w) + b;  + residual, if there is one;  max(0, .), if relu
//   g = dy, or 0 where relu and y <= 0;   db = sum g,   dw = rstd sum g (x - mean),   dresidual = g
//   dx = w rstd (g - db / rows - (x - mean) rstd dw / rows) in training,  w rstd g in evaluation
//
// Sums over rows are column sums (kernels/reduce.h); the variance is centred. x, y, dy, dx, residual, dresidual are
// (rows, cols), everything else (cols).
#pragma once

#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(
    // Statistics of a batch of rows >= 2, and the running ones afterwards: new = (1 - momentum) running + momentum
    // batch, with the unbiased variance. The new ones may be where the old ones are.
    template <class T>
    void batch_norm_statistics(Stream, const T* x, const T* running_mean, const T* running_var, T* mean, T* rstd,
                               T* new_mean, T* new_var, int64_t rows, int64_t cols, T eps, T momentum);
    // rstd of the running variance.
    template <class T> void batch_norm_rstd(Stream, const T* running_var, T* rstd, int64_t cols, T eps);
    // residual is null where there is none. y may be x or residual.
    template <class T> void batch_norm_forward(Stream, const T* x, const T* mean, const T* rstd, const T* w, const T* b,
                                               const T* residual, bool relu, T* y, int64_t rows, int64_t cols);
    // dw or db is null where it is not wanted; y is null without relu.
    template <class T> void batch_norm_backward_weight(Stream, const T* dy, const T* y, const T* x, const T* mean,
                                                       const T* rstd, T* dw, T* db, int64_t rows, int64_t cols);
    // dw and db are null in evaluation, and then x and mean are not read; dx or dresidual is null where it is not
    // wanted.
    template <class T> void batch_norm_backward_input(Stream, const T* dy, const T* y, const T* x, const T* mean,
                                                      const T* rstd, const T* w, const T* dw, const T* db, T* dx,
                                                      T* dresidual, int64_t rows, int64_t cols);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_BATCH_NORM(T)                                                                              \
  template void batch_norm_statistics<T>(Stream, const T*, const T*, const T*, T*, T*, T*, T*, int64_t, int64_t, T, \
                                         T);                                                                        \
  template void batch_norm_rstd<T>(Stream, const T*, T*, int64_t, T);                                               \
  template void batch_norm_forward<T>(Stream, const T*, const T*, const T*, const T*, const T*, const T*, bool, T*, \
                                      int64_t, int64_t);                                                            \
  template void batch_norm_backward_weight<T>(Stream, const T*, const T*, const T*, const T*, const T*, T*, T*,     \
                                              int64_t, int64_t);                                                    \
  template void batch_norm_backward_input<T>(Stream, const T*, const T*, const T*, const T*, const T*, const T*,    \
                                             const T*, const T*, T*, T*, int64_t, int64_t);
