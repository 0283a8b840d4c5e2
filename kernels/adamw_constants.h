// What a step of AdamW (kernels/optim.h) multiplies with, rounded once, for every backend.
#pragma once

#include "kernels/math.h"
#include "kernels/optim.h"

namespace taut::TAUT_MATH {

// b^t by repeated squaring.
inline double power(double b, int64_t t) {
  double result = 1;
  for (; t > 0; t /= 2, b *= b) {
    if (t % 2 == 1) result *= b;
  }
  return result;
}

template <class T>
struct AdamWConstants {
  T grad_scale, decay, one_minus_beta1, beta2, one_minus_beta2, eps, correction2, minus_rate;

  explicit AdamWConstants(const AdamWStep& step)
      : grad_scale(static_cast<T>(step.grad_scale)),
        decay(static_cast<T>(1 - step.lr * step.weight_decay)),
        one_minus_beta1(static_cast<T>(1 - step.beta1)),
        beta2(static_cast<T>(step.beta2)),
        one_minus_beta2(static_cast<T>(1 - step.beta2)),
        eps(static_cast<T>(step.eps)),
        correction2(static_cast<T>(sqrt(1 - power(step.beta2, step.t)))),
        minus_rate(static_cast<T>(-step.lr / (1 - power(step.beta1, step.t)))) {}
};

}  // namespace taut::TAUT_MATH
