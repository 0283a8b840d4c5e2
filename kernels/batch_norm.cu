// Sums over rows are column sums (kernels/sums.cuh); what follows them is a thread a channel; the normalisation itself
// a thread an element.
#include "kernels/batch_norm.h"

#include "kernels/device.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 256;

// The gradient before the ReLU. It is read in any case: a warp reads whole lines.
template <class T>
__device__ T before_relu(const T* dy, const T* y, int64_t at) {
  const T g = dy[at];
  return y == nullptr || T(0) < y[at] ? g : T(0);
}

template <class T>
struct SquareTerm {
  const T *x, *mean;
  int64_t cols;
  __device__ void operator()(int64_t row, int64_t j, T (&t)[1]) const {
    const T d = x[row * cols + j] - mean[j];
    t[0] = d * d;
  }
};
template <class T>
struct BiasTerm {
  const T *dy, *y;
  int64_t cols;
  __device__ void operator()(int64_t row, int64_t j, T (&t)[1]) const { t[0] = before_relu(dy, y, row * cols + j); }
};
template <class T>
struct WeightTerms {
  const T *dy, *y, *x, *mean;
  int64_t cols;
  __device__ void operator()(int64_t row, int64_t j, T (&t)[2]) const {
    t[1] = before_relu(dy, y, row * cols + j);
    t[0] = t[1] * (x[row * cols + j] - mean[j]);
  }
};

template <class T>
__global__ void divide_kernel(T* v, T n, int64_t cols) {
  for (int64_t j = thread_in_grid(); j < cols; j += threads_in_grid()) v[j] = v[j] / n;
}

// rstd holds the sums of squares when it begins.
template <class T>
__global__ void finish_statistics_kernel(const T* running_mean, const T* running_var, const T* mean, T* rstd,
                                         T* new_mean, T* new_var, T n, int64_t cols, T eps, T momentum) {
  for (int64_t j = thread_in_grid(); j < cols; j += threads_in_grid()) {
    const T squares = rstd[j];
    new_mean[j] = (T(1) - momentum) * running_mean[j] + momentum * mean[j];
    new_var[j] = (T(1) - momentum) * running_var[j] + momentum * (squares / (n - T(1)));
    rstd[j] = T(1) / sqrt(squares / n + eps);
  }
}

template <class T>
__global__ void rstd_kernel(const T* running_var, T* rstd, int64_t cols, T eps) {
  for (int64_t j = thread_in_grid(); j < cols; j += threads_in_grid()) rstd[j] = T(1) / sqrt(running_var[j] + eps);
}

template <class T>
__global__ void batch_norm_forward_kernel(const T* x, const T* mean, const T* rstd, const T* w, const T* b,
                                          const T* residual, bool relu, T* y, int64_t count, int64_t cols) {
  for (int64_t at = thread_in_grid(); at < count; at += threads_in_grid()) {
    const int64_t j = at % cols;
    T v = fma(x[at] - mean[j], rstd[j] * w[j], b[j]);
    if (residual != nullptr) v = v + residual[at];
    y[at] = relu ? max(T(0), v) : v;
  }
}

template <class T>
__global__ void scale_columns_kernel(const T* factor, T* v, int64_t cols) {
  for (int64_t j = thread_in_grid(); j < cols; j += threads_in_grid()) v[j] = v[j] * factor[j];
}

template <class T>
__global__ void batch_norm_backward_input_kernel(const T* dy, const T* y, const T* x, const T* mean, const T* rstd,
                                                 const T* w, const T* dw, const T* db, T* dx, T* dresidual, T n,
                                                 int64_t count, int64_t cols) {
  for (int64_t at = thread_in_grid(); at < count; at += threads_in_grid()) {
    const int64_t j = at % cols;
    const T g = before_relu(dy, y, at);
    if (dx != nullptr) {
      T d = g;
      if (dw != nullptr) d = fma(x[at] - mean[j], -(rstd[j] * (dw[j] / n)), g - db[j] / n);
      dx[at] = rstd[j] * w[j] * d;
    }
    if (dresidual != nullptr) dresidual[at] = g;
  }
}

}  // namespace

template <class T>
void batch_norm_statistics(Stream stream, const T* x, const T* running_mean, const T* running_var, T* mean, T* rstd,
                           T* new_mean, T* new_var, int64_t rows, int64_t cols, T eps, T momentum) {
  const T n = static_cast<T>(rows);
  column_sums<T, 1>(stream, {mean}, rows, cols, ColumnTerm<T>{x, cols});
  launch(divide_kernel<T>, grid_for(cols, kThreads), kThreads, 0, stream, mean, n, cols);
  column_sums<T, 1>(stream, {rstd}, rows, cols, SquareTerm<T>{x, mean, cols});
  launch(finish_statistics_kernel<T>, grid_for(cols, kThreads), kThreads, 0, stream, running_mean, running_var, mean,
         rstd, new_mean, new_var, n, cols, eps, momentum);
}

template <class T>
void batch_norm_rstd(Stream stream, const T* running_var, T* rstd, int64_t cols, T eps) {
  launch(rstd_kernel<T>, grid_for(cols, kThreads), kThreads, 0, stream, running_var, rstd, cols, eps);
}

template <class T>
void batch_norm_forward(Stream stream, const T* x, const T* mean, const T* rstd, const T* w, const T* b,
                        const T* residual, bool relu, T* y, int64_t rows, int64_t cols) {
  launch(batch_norm_forward_kernel<T>, grid_for(rows * cols, kThreads), kThreads, 0, stream, x, mean, rstd, w, b,
         residual, relu, y, rows * cols, cols);
}

template <class T>
void batch_norm_backward_weight(Stream stream, const T* dy, const T* y, const T* x, const T* mean, const T* rstd, T* dw,
                                T* db, int64_t rows, int64_t cols) {
  if (dw == nullptr) {
    if (db != nullptr) column_sums<T, 1>(stream, {db}, rows, cols, BiasTerm<T>{dy, y, cols});
    return;
  }
  column_sums<T, 2>(stream, {dw, db}, rows, cols, WeightTerms<T>{dy, y, x, mean, cols});
  launch(scale_columns_kernel<T>, grid_for(cols, kThreads), kThreads, 0, stream, rstd, dw, cols);
}

template <class T>
void batch_norm_backward_input(Stream stream, const T* dy, const T* y, const T* x, const T* mean, const T* rstd,
                               const T* w, const T* dw, const T* db, T* dx, T* dresidual, int64_t rows, int64_t cols) {
  launch(batch_norm_backward_input_kernel<T>, grid_for(rows * cols, kThreads), kThreads, 0, stream, dy, y, x, mean,
         rstd, w, dw, db, dx, dresidual, static_cast<T>(rows), rows * cols, cols);
}

TAUT_INSTANTIATE_BATCH_NORM(float)
TAUT_INSTANTIATE_BATCH_NORM(double)

}  // namespace taut::TAUT_GPU
