// Steps of optimisers, with torch's semantics. Hyper-parameters are double and rounded to T
// once; powers of beta come from repeated multiplication (libm's pow differs between versions, and bytes must not).
#pragma once

#include "kernels/runtime.h"

namespace taut {

// AdamW (Loshchilov and Hutter 2019; torch.optim.AdamW):
//   g = grad_scale grad;  p = p (1 - lr wd);  m = m + (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g
//   p = p - (lr / (1 - beta1^t)) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWStep {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  int64_t t = 1;          // number of this step, from 1
  double grad_scale = 1;  // the clipping factor
};

// What a step multiplies with, rounded to T once (kernels/adamw_constants.h makes it of an AdamWStep).
template <class T>
struct AdamWConstants {
  T grad_scale, decay, one_minus_beta1, beta2, one_minus_beta2, eps, correction2, minus_rate;
};

// A parameter p (n) that a step updates in place, its gradient and its moments, which start as zeros. The constants lie
// beside them in the device's memory: a step that a GPU replays finds those of its own time there.
template <class T>
struct AdamWTensor {
  T* p;
  const T* grad;
  T *m, *v;
  int64_t n;
  const AdamWConstants<T>* constants;
};

// SGD (torch.optim.SGD): g = grad_scale grad + wd p;  with momentum: buf = g at the first step, else mu buf + g;
//   p = p - lr (nesterov ? g + mu buf : buf);  without: p = p - lr g.
struct SgdStep {
  double lr = 1e-3, momentum = 0, weight_decay = 0;
  bool nesterov = false;
  bool first = true;  // buf is not read
  double grad_scale = 1;
};

BOTH_BACKENDS(
    // A step of each of `count` parameters, which share no memory; the list itself is in host memory. On a GPU one
    // launch for every 64 of them.
    template <class T> void adamw_step(Stream, const AdamWTensor<T>* tensors, int64_t count);
    // p and momentum (n) are updated in place; momentum may be null if step.momentum is 0.
    template <class T> void sgd_step(Stream, T* p, const T* grad, T* momentum, int64_t n, const SgdStep& step);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_OPTIM(T)                                      \
  template void adamw_step<T>(Stream, const AdamWTensor<T>*, int64_t); \
  template void sgd_step<T>(Stream, T*, const T*, T*, int64_t, const SgdStep&);
