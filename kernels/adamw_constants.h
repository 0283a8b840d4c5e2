// The constants of a step of AdamW (kernels/optim.h), for every backend.
#pragma once

#include "kernels/optim.h"

namespace taut {

// b^t by repeated squaring.
inline double power(double b, int64_t t) {
  double result = 1;
  for (; t > 0; t /= 2, b *= b) {
    if (t % 2 == 1) result *= b;
  }
  return result;
}

template <class T>
AdamWConstants<T> adamw_constants(const AdamWStep& step) {
  return {.grad_scale = static_cast<T>(step.grad_scale),
          .decay = static_cast<T>(1 - step.lr * step.weight_decay),
          .one_minus_beta1 = static_cast<T>(1 - step.beta1),
          .beta2 = static_cast<T>(step.beta2),
          .one_minus_beta2 = static_cast<T>(1 - step.beta2),
          .eps = static_cast<T>(step.eps),
          .correction2 = static_cast<T>(__builtin_sqrt(1 - power(step.beta2, step.t))),
          .minus_rate = static_cast<T>(-step.lr / (1 - power(step.beta1, step.t)))};
}

}  // namespace taut
