#include "kernels/optim.h"

#include "kernels/loops.h"

namespace taut::TAUT_CPU {
namespace {

template <class T>
Vec<T> rounded(double x) {
  return broadcast(static_cast<T>(x));
}

}  // namespace

template <class T>
void adamw_step(Stream, T* p, const T* grad, T* m, T* v, int64_t n, const AdamWConstants<T>* constants) {
  const AdamWConstants<T> c = *constants;
  const Vec<T> grad_scale = broadcast(c.grad_scale), decay = broadcast(c.decay);
  const Vec<T> one_minus_beta1 = broadcast(c.one_minus_beta1), beta2 = broadcast(c.beta2);
  const Vec<T> one_minus_beta2 = broadcast(c.one_minus_beta2), eps = broadcast(c.eps);
  const Vec<T> correction2 = broadcast(c.correction2), minus_rate = broadcast(c.minus_rate);
  parallel_vectors(n, [&](int64_t i, auto lanes) {
    const Vec<T> g = grad_scale * lanes.load(grad + i);
    const Vec<T> m0 = lanes.load(m + i);
    const Vec<T> m1 = fma(one_minus_beta1, g - m0, m0);
    const Vec<T> v1 = fma(one_minus_beta2 * g, g, beta2 * lanes.load(v + i));
    lanes.store(m + i, m1);
    lanes.store(v + i, v1);
    lanes.store(p + i, fma(minus_rate, m1 / (sqrt(v1) / correction2 + eps), lanes.load(p + i) * decay));
  });
}

template <class T>
void sgd_step(Stream, T* p, const T* grad, T* momentum, int64_t n, const SgdStep& step) {
  const Vec<T> grad_scale = rounded<T>(step.grad_scale), decay = rounded<T>(step.weight_decay);
  const Vec<T> mu = rounded<T>(step.momentum), minus_rate = rounded<T>(-step.lr);
  const bool has_momentum = step.momentum != 0, nesterov = step.nesterov, first = step.first;
  parallel_vectors(n, [&](int64_t i, auto lanes) {
    const Vec<T> p0 = lanes.load(p + i);
    Vec<T> g = fma(decay, p0, grad_scale * lanes.load(grad + i));
    if (has_momentum) {
      const Vec<T> buffer = first ? g : fma(mu, lanes.load(momentum + i), g);
      lanes.store(momentum + i, buffer);
      g = nesterov ? fma(mu, buffer, g) : buffer;
    }
    lanes.store(p + i, fma(minus_rate, g, p0));
  });
}

TAUT_INSTANTIATE_OPTIM(float)
TAUT_INSTANTIATE_OPTIM(double)

}  // namespace taut::TAUT_CPU
