#include "kernels/batch_norm.h"

#include "kernels/loops.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

// body(at, j, lanes) for every vector of a (rows, cols) matrix: its place and its first column.
template <class Body>
void for_matrix(int64_t rows, int64_t cols, Body&& body) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for_vectors(0, cols, [&](int64_t j, auto lanes) { body(r * cols + j, j, lanes); });
  });
}

// The gradient before the ReLU.
template <class T, class Lanes>
TAUT_INLINE Vec<T> before_relu(const T* dy, const T* y, int64_t at, Lanes lanes) {
  const Vec<T> g = lanes.load(dy + at), zero = broadcast(T(0));
  return y == nullptr ? g : select(less(zero, lanes.load(y + at)), g, zero);
}

}  // namespace

template <class T>
void batch_norm_statistics(Stream, const T* x, const T* running_mean, const T* running_var, T* mean, T* rstd,
                           T* new_mean, T* new_var, int64_t rows, int64_t cols, T eps, T momentum) {
  const T n = static_cast<T>(rows);
  column_sums<T, 1>({mean}, rows, cols,
                    [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[1]) { t[0] = lanes.load(x + r * cols + j); });
  for (int64_t j = 0; j < cols; ++j) mean[j] /= n;
  column_sums<T, 1>({rstd}, rows, cols, [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[1]) {
    const Vec<T> d = lanes.load(x + r * cols + j) - lanes.load(mean + j);
    t[0] = d * d;
  });
  for (int64_t j = 0; j < cols; ++j) {
    const T squares = rstd[j];
    new_mean[j] = (T(1) - momentum) * running_mean[j] + momentum * mean[j];
    new_var[j] = (T(1) - momentum) * running_var[j] + momentum * (squares / (n - T(1)));
    rstd[j] = T(1) / sqrt(squares / n + eps);
  }
}

template <class T>
void batch_norm_rstd(Stream, const T* running_var, T* rstd, int64_t cols, T eps) {
  for (int64_t j = 0; j < cols; ++j) rstd[j] = T(1) / sqrt(running_var[j] + eps);
}

template <class T>
void batch_norm_forward(Stream, const T* x, const T* mean, const T* rstd, const T* w, const T* b, const T* residual,
                        bool relu, T* y, int64_t rows, int64_t cols) {
  T* slope = static_cast<T*>(thread_scratch(0, static_cast<size_t>(cols) * sizeof(T)));
  for (int64_t j = 0; j < cols; ++j) slope[j] = rstd[j] * w[j];
  for_matrix(rows, cols, [=](int64_t at, int64_t j, auto lanes) {
    Vec<T> v = fma(lanes.load(x + at) - lanes.load(mean + j), lanes.load(slope + j), lanes.load(b + j));
    if (residual != nullptr) v = v + lanes.load(residual + at);
    lanes.store(y + at, relu ? max(broadcast(T(0)), v) : v);
  });
}

template <class T>
void batch_norm_backward_weight(Stream, const T* dy, const T* y, const T* x, const T* mean, const T* rstd, T* dw, T* db,
                                int64_t rows, int64_t cols) {
  if (dw == nullptr) {
    if (db == nullptr) return;
    column_sums<T, 1>({db}, rows, cols, [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[1]) {
      t[0] = before_relu(dy, y, r * cols + j, lanes);
    });
    return;
  }
  column_sums<T, 2>({dw, db}, rows, cols, [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[2]) {
    t[1] = before_relu(dy, y, r * cols + j, lanes);
    t[0] = t[1] * (lanes.load(x + r * cols + j) - lanes.load(mean + j));
  });
  for (int64_t j = 0; j < cols; ++j) dw[j] *= rstd[j];
}

template <class T>
void batch_norm_backward_input(Stream, const T* dy, const T* y, const T* x, const T* mean, const T* rstd, const T* w,
                               const T* dw, const T* db, T* dx, T* dresidual, int64_t rows, int64_t cols) {
  const T n = static_cast<T>(rows);
  T* slope = static_cast<T*>(thread_scratch(0, static_cast<size_t>(3 * cols) * sizeof(T)));
  T *mean_g = slope + cols, *minus_gx = mean_g + cols;
  for (int64_t j = 0; j < cols; ++j) {
    slope[j] = rstd[j] * w[j];
    mean_g[j] = db == nullptr ? T(0) : db[j] / n;
    minus_gx[j] = dw == nullptr ? T(0) : -(rstd[j] * (dw[j] / n));
  }
  for_matrix(rows, cols, [=](int64_t at, int64_t j, auto lanes) {
    const Vec<T> g = before_relu(dy, y, at, lanes);
    if (dx != nullptr) {
      Vec<T> d = g;
      if (dw != nullptr)
        d = fma(lanes.load(x + at) - lanes.load(mean + j), lanes.load(minus_gx + j), g - lanes.load(mean_g + j));
      lanes.store(dx + at, lanes.load(slope + j) * d);
    }
    if (dresidual != nullptr) lanes.store(dresidual + at, g);
  });
}

TAUT_INSTANTIATE_BATCH_NORM(float)
TAUT_INSTANTIATE_BATCH_NORM(double)

}  // namespace taut::TAUT_CPU
