// Layer normalisation over the last dimension (Ba, Kiros, Hinton 2016), and with the residual sum before it.
//
//   mean = sum(x) / cols, var = sum((x - mean)^2) / cols (biased), rstd = 1 / sqrt(var + eps)
//   y = (x - mean) rstd w + b
//   dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy w, xhat = (x - mean) rstd;  dw = sum dy xhat,  db = sum dy
//
// The variance is centred (two passes over a row that stays in cache); sums over a row are row sums, sums over rows
// column sums (kernels/reduce.h). x, y, h, dy, dx, dh are (rows, cols); w, b, dw, db (cols); mean, rstd (rows). cols
// >= 1.
#pragma once

#include "kernels/bf16.h"
#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(
    // mean and rstd are null where no gradient will be asked for. y may be x.
    template <class T> void layer_norm_forward(Stream, const T* x, const T* w, const T* b, T* y, Real<T>* mean,
                                               Real<T>* rstd, int64_t rows, int64_t cols, Real<T> eps);
    // h = x + r, y = layer_norm(h). h may be x or r.
    template <class T>
    void residual_layer_norm_forward(Stream, const T* x, const T* r, const T* w, const T* b, T* h, T* y, Real<T>* mean,
                                     Real<T>* rstd, int64_t rows, int64_t cols, Real<T> eps);
    // dx = dh + (the formula above), x being the input of the normalisation (h of residual_layer_norm_forward) and dh,
    // or null for 0, its gradient by other ways. dx may be dy or dh.
    template <class T>
    void layer_norm_backward_input(Stream, const T* dy, const T* x, const T* w, const Real<T>* mean,
                                   const Real<T>* rstd, const T* dh, T* dx, int64_t rows, int64_t cols);
    // dw or db is null where it is not wanted; x, mean and rstd are read for dw only.
    template <class T> void layer_norm_backward_weight(Stream, const T* dy, const T* x, const Real<T>* mean,
                                                       const Real<T>* rstd, T* dw, T* db, int64_t rows, int64_t cols);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_NORM(T)                                                                                      \
  template void layer_norm_forward<T>(Stream, const T*, const T*, const T*, T*, Real<T>*, Real<T>*, int64_t, int64_t, \
                                      Real<T>);                                                                       \
  template void residual_layer_norm_forward<T>(Stream, const T*, const T*, const T*, const T*, T*, T*, Real<T>*,      \
                                               Real<T>*, int64_t, int64_t, Real<T>);                                  \
  template void layer_norm_backward_input<T>(Stream, const T*, const T*, const T*, const Real<T>*, const Real<T>*,    \
                                             const T*, T*, int64_t, int64_t);                                         \
  template void layer_norm_backward_weight<T>(Stream, const T*, const T*, const Real<T>*, const Real<T>*, T*, T*,     \
                                              int64_t, int64_t);
