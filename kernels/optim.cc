#include "kernels/optim.h"

#include "kernels/loops.h"

namespace taut::TAUT_CPU {
namespace {

template <class T>
Vec<T> rounded(double x) {
  return broadcast(static_cast<T>(x));
}

template <class T>
void adamw_step_of_one(const AdamWTensor<T>& t) {
  const AdamWConstants<T> c = *t.constants;
  const Vec<T> grad_scale = broadcast(c.grad_scale), decay = broadcast(c.decay);
  const Vec<T> one_minus_beta1 = broadcast(c.one_minus_beta1), beta2 = broadcast(c.beta2);
  const Vec<T> one_minus_beta2 = broadcast(c.one_minus_beta2), eps = broadcast(c.eps);
  const Vec<T> correction2 = broadcast(c.correction2), minus_rate = broadcast(c.minus_rate);
  parallel_vectors(t.n, [&](int64_t i, auto lanes) {
    const Vec<T> g = grad_scale * lanes.load(t.grad + i);
    const Vec<T> m0 = lanes.load(t.m + i);
    const Vec<T> m1 = fma(one_minus_beta1, g - m0, m0);
    const Vec<T> v1 = fma(one_minus_beta2 * g, g, beta2 * lanes.load(t.v + i));
    lanes.store(t.m + i, m1);
    lanes.store(t.v + i, v1);
    lanes.store(t.p + i, fma(minus_rate, m1 / (sqrt(v1) / correction2 + eps), lanes.load(t.p + i) * decay));
  });
}

}  // namespace

template <class T>
void adamw_step(Stream, const AdamWTensor<T>* tensors, int64_t count) {
  for (int64_t i = 0; i < count; ++i) adamw_step_of_one(tensors[i]);
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
