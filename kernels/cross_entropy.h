// Cross-entropy of logits with integer labels, with label smoothing (ls on the uniform distribution over all classes,
// as torch): target t_j = ls / classes + (1 - ls) [j = label].
//
//   loss = (1 - ls) (log s - (x_label - m)) + ls (log s - mean_j(x_j - m)),   m = max x, s = sum exp(x - m)
//   dx_j = dloss (p_j - t_j),   p = exp(x - m) / s
//
// For the label p_y - t_y is computed as ls (1 - 1/classes) - (sum of the other p): p_y - 1 would cancel to 0 once the
// logit gap passes 16, and freeze a part of an attack's gradient. Nothing but the logits need be
// saved.
#pragma once

#include "kernels/bf16.h"
#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(
    // loss (rows) of x (rows, classes); labels (rows), each in [0, classes): see count_bad_labels.
    template <class T> void cross_entropy_forward(Stream, const T* x, const int64_t* labels, Real<T>* loss,
                                                  int64_t rows, int64_t classes, Real<T> label_smoothing);
    // dx (rows, classes) = scale dloss (p - t); dloss (rows), or null for ones. dx may be x.
    template <class T>
    void cross_entropy_backward(Stream, const T* x, const int64_t* labels, const Real<T>* dloss, Real<T> scale, T* dx,
                                int64_t rows, int64_t classes, Real<T> label_smoothing);
    // found (1, host memory) = how many labels lie outside [0, classes).
    void count_bad_labels(Stream, const int64_t* labels, int64_t rows, int64_t classes, int64_t* found);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_CROSS_ENTROPY(T)                                                                         \
  template void cross_entropy_forward<T>(Stream, const T*, const int64_t*, Real<T>*, int64_t, int64_t, Real<T>);  \
  template void cross_entropy_backward<T>(Stream, const T*, const int64_t*, const Real<T>*, Real<T>, T*, int64_t, \
                                          int64_t, Real<T>);
