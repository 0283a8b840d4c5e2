// An element a thread; AdamW over many parameters in one launch (kernels/tensor_table.cuh).
#include "kernels/optim.h"

#include "kernels/device.cuh"
#include "kernels/tensor_table.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256, kMostBlocks = 4096;
constexpr int64_t kPiece = 4 * kThreads;  // elements of a parameter that a block takes at a time

template <class T>
__global__ void adamw_step_kernel(TensorTable<AdamWTensor<T>> table) {
  for (int64_t piece = blockIdx.x; piece < table.pieces; piece += gridDim.x) {
    const int which = table.of(piece);
    const AdamWTensor<T>& t = table.entry[which];
    const AdamWConstants<T> c = *t.constants;
    const int64_t begin = (piece - table.first[which]) * kPiece, end = begin + kPiece < t.n ? begin + kPiece : t.n;
    for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
      const T g = c.grad_scale * t.grad[i];
      const T m1 = fma(c.one_minus_beta1, g - t.m[i], t.m[i]);
      const T v1 = fma(c.one_minus_beta2 * g, g, c.beta2 * t.v[i]);
      t.m[i] = m1;
      t.v[i] = v1;
      t.p[i] = fma(c.minus_rate, m1 / (sqrt(v1) / c.correction2 + c.eps), t.p[i] * c.decay);
    }
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
void adamw_step(Stream stream, const AdamWTensor<T>* tensors, int64_t count) {
  const auto pieces_of = [](const AdamWTensor<T>& t) { return static_cast<int64_t>(pieces(t.n, kPiece)); };
  for_each_table(tensors, count, pieces_of, [&](const TensorTable<AdamWTensor<T>>& table) {
    const int64_t blocks = table.pieces < kMostBlocks ? table.pieces : kMostBlocks;
    launch(adamw_step_kernel<T>, dim3(static_cast<unsigned>(blocks)), kThreads, 0, stream, table);
  });
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
