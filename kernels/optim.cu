// An element a thread.
#include "kernels/optim.h"

#include "kernels/device.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void adamw_step_kernel(T* p, const T* grad, T* m, T* v, int64_t n, const AdamWConstants<T>* constants) {
  const AdamWConstants<T> c = *constants;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const T g = c.grad_scale * grad[i];
    const T m1 = fma(c.one_minus_beta1, g - m[i], m[i]);
    const T v1 = fma(c.one_minus_beta2 * g, g, c.beta2 * v[i]);
    m[i] = m1;
    v[i] = v1;
    p[i] = fma(c.minus_rate, m1 / (sqrt(v1) / c.correction2 + c.eps), p[i] * c.decay);
  }
}

template <class T>
__global__ void sgd_step_kernel(T* p, const T* grad, T* momentum, int64_t n, T grad_scale, T decay, T mu, T minus_rate,
                                bool has_momentum, bool nesterov, bool first) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const T p0 = p[i];
    T g = fma(decay, p0, grad_scale * grad[i]);
    if (has_momentum) {
      const T buffer = first ? g : fma(mu, momentum[i], g);
      momentum[i] = buffer;
      g = nesterov ? fma(mu, buffer, g) : buffer;
    }
    p[i] = fma(minus_rate, g, p0);
  }
}

}  // namespace

template <class T>
void adamw_step(Stream stream, T* p, const T* grad, T* m, T* v, int64_t n, const AdamWConstants<T>* constants) {
  launch(adamw_step_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, p, grad, m, v, n, constants);
}

template <class T>
void sgd_step(Stream stream, T* p, const T* grad, T* momentum, int64_t n, const SgdStep& step) {
  launch(sgd_step_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, p, grad, momentum, n,
         static_cast<T>(step.grad_scale), static_cast<T>(step.weight_decay), static_cast<T>(step.momentum),
         static_cast<T>(-step.lr), step.momentum != 0, step.nesterov, step.first);
}

TAUT_INSTANTIATE_OPTIM(float)
TAUT_INSTANTIATE_OPTIM(double)

}  // namespace taut::TAUT_GPU
