// An element a thread, in a loop over the grid.
#include "kernels/pointwise.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/pointwise_ops.h"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

template <class Op, class T>
__global__ void unary_forward_kernel(const T* x, T* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = convert<T>(Op::forward(widen(x[i])));
}

template <class Op, class T>
__global__ void unary_backward_kernel(const T* dy, const T* saved, T* dx, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid())
    dx[i] = convert<T>(Op::backward(widen(dy[i]), widen(saved[i])));
}

// Where element i of the result lies in the two operands.
struct Places {
  int64_t a = 0, b = 0;
  __device__ Places(const BroadcastShape& shape, int64_t i) {
    for (int d = shape.dims - 1; d >= 0; --d) {
      const int64_t at = i % shape.size[d];
      a += at * shape.stride_a[d];
      b += at * shape.stride_b[d];
      i /= shape.size[d];
    }
  }
};

int64_t count(const BroadcastShape& shape) {
  int64_t n = 1;
  for (int d = 0; d < shape.dims; ++d) n *= shape.size[d];
  return n;
}

template <class Op, class T>
__global__ void binary_forward_kernel(const T* a, const T* b, T* y, BroadcastShape shape, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Places at(shape, i);
    y[i] = convert<T>(Op::forward(widen(a[at.a]), widen(b[at.b])));
  }
}

template <class Op, Reads reads, class T>
__global__ void binary_backward_kernel(const T* dy, const T* a, const T* b, T* da, T* db, BroadcastShape shape,
                                       int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Real<T> g = widen(dy[i]);
    Real<T> va = g, vb = g;  // what an operator that reads nothing gets does not matter
    if constexpr (reads == Reads::kInputs) {
      const Places at(shape, i);
      if (a != nullptr) va = widen(a[at.a]);
      if (b != nullptr) vb = widen(b[at.b]);
    }
    if (da != nullptr) da[i] = convert<T>(Op::backward_a(g, va, vb));
    if (db != nullptr) db[i] = convert<T>(Op::backward_b(g, va, vb));
  }
}

template <class T>
__global__ void bias_gelu_forward_kernel(const T* x, const T* bias, T* y, T* pre, int64_t n, int64_t cols) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const Real<T> s = widen(x[i]) + widen(bias[i % cols]);
    if (pre != nullptr) pre[i] = convert<T>(s);
    y[i] = convert<T>(gelu_erf(s));
  }
}

template <class T>
struct BiasGeluGradient {
  const T *dy, *x, *bias;
  T* dx;
  int64_t cols;
  __device__ Real<T> at(int64_t i, int64_t j) const {
    Real<T> s = widen(x[i]);
    if (bias != nullptr) s = s + widen(bias[j]);
    const Real<T> g = widen(dy[i]) * gelu_erf_derivative(s);
    dx[i] = convert<T>(g);
    return g;
  }
  __device__ void operator()(int64_t row, int64_t j, Real<T> (&t)[1]) const { t[0] = at(row * cols + j, j); }
};

template <class T>
__global__ void bias_gelu_backward_kernel(BiasGeluGradient<T> gradient, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) gradient.at(i, i % gradient.cols);
}

template <class T>
__global__ void scale_kernel(Real<T> s, const T* x, T* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = convert<T>(s * widen(x[i]));
}

template <class T>
__global__ void axpy_kernel(Real<T> s, const T* x, T* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = convert<T>(fma(s, widen(x[i]), widen(y[i])));
}

}  // namespace

template <class T>
void unary_forward(Stream stream, Unary op, const T* x, T* y, int64_t n) {
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Unary::k##functor:               \
    return launch(unary_forward_kernel<functor, T>, grid_for(n, kThreads), kThreads, 0, stream, x, y, n);
    TAUT_UNARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void unary_backward(Stream stream, Unary op, const T* dy, const T* x, const T* y, T* dx, int64_t n) {
  switch (op) {
#define TAUT_CASE(functor, name, reads)                                                              \
  case Unary::k##functor:                                                                            \
    return launch(unary_backward_kernel<functor, T>, grid_for(n, kThreads), kThreads, 0, stream, dy, \
                  (reads) == Reads::kOutput ? y : x, dx, n);
    TAUT_UNARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void binary_forward(Stream stream, Binary op, const T* a, const T* b, T* y, const BroadcastShape& shape) {
  const int64_t n = count(shape);
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Binary::k##functor:              \
    return launch(binary_forward_kernel<functor, T>, grid_for(n, kThreads), kThreads, 0, stream, a, b, y, shape, n);
    TAUT_BINARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void binary_backward(Stream stream, Binary op, const T* dy, const T* a, const T* b, T* da, T* db,
                     const BroadcastShape& shape) {
  const int64_t n = count(shape);
  switch (op) {
#define TAUT_CASE(functor, name, reads)                                                                                \
  case Binary::k##functor:                                                                                             \
    return launch(binary_backward_kernel<functor, reads, T>, grid_for(n, kThreads), kThreads, 0, stream, dy, a, b, da, \
                  db, shape, n);
    TAUT_BINARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void bias_gelu_forward(Stream stream, const T* x, const T* bias, T* y, T* pre, int64_t rows, int64_t cols) {
  launch(bias_gelu_forward_kernel<T>, grid_for(rows * cols, kThreads), kThreads, 0, stream, x, bias, y, pre,
         rows * cols, cols);
}

template <class T>
void bias_gelu_backward(Stream stream, const T* dy, const T* x, const T* bias, T* dx, T* dbias, int64_t rows,
                        int64_t cols) {
  const BiasGeluGradient<T> gradient{dy, x, bias, dx, cols};
  if (dbias != nullptr) return stored_column_sums<T, 1>(stream, {dbias}, rows, cols, gradient);
  launch(bias_gelu_backward_kernel<T>, grid_for(rows * cols, kThreads), kThreads, 0, stream, gradient, rows * cols);
}

template <class T>
void scale(Stream stream, Real<T> s, const T* x, T* y, int64_t n) {
  launch(scale_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, s, x, y, n);
}

template <class T>
void axpy(Stream stream, Real<T> s, const T* x, T* y, int64_t n) {
  launch(axpy_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, s, x, y, n);
}

TAUT_INSTANTIATE_POINTWISE(float)
TAUT_INSTANTIATE_POINTWISE(double)
TAUT_INSTANTIATE_POINTWISE(BF16)

}  // namespace taut::TAUT_GPU
