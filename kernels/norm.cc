#include "kernels/norm.h"

#include "kernels/loops.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

// What follows once the sum of a row is known: variance, rstd and the normalised row.
template <class T>
TAUT_INLINE void normalise_row(const T* x, T sum, const T* w, const T* b, T* y, T* mean, T* rstd, int64_t cols, T eps) {
  const T m = sum / static_cast<T>(cols);
  const Vec<T> centre = broadcast(m);
  const T squares = row_sum<T>(cols, [&](int64_t i, int64_t count) {
    const Vec<T> d = first_lanes(load_n(x + i, count) - centre, count, T(0));
    return d * d;
  });
  const T r = T(1) / sqrt(squares / static_cast<T>(cols) + eps);
  if (mean != nullptr) *mean = m;
  if (rstd != nullptr) *rstd = r;
  const Vec<T> factor = broadcast(r);
  for_vectors(0, cols, [&](int64_t i, auto lanes) {
    const Vec<T> xhat = (lanes.load(x + i) - centre) * factor;
    lanes.store(y + i, fma(xhat, lanes.load(w + i), lanes.load(b + i)));
  });
}

}  // namespace

template <class T>
void layer_norm_forward(Stream, const T* x, const T* w, const T* b, T* y, Real<T>* mean, Real<T>* rstd, int64_t rows,
                        int64_t cols, Real<T> eps) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * cols;
      const T sum = row_sum<T>(cols, [&](int64_t i, int64_t count) { return load_n(row + i, count); });
      normalise_row(row, sum, w, b, y + r * cols, mean != nullptr ? mean + r : nullptr,
                    rstd != nullptr ? rstd + r : nullptr, cols, eps);
    }
  });
}

template <class T>
void residual_layer_norm_forward(Stream, const T* x, const T* r, const T* w, const T* b, T* h, T* y, Real<T>* mean,
                                 Real<T>* rstd, int64_t rows, int64_t cols, Real<T> eps) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T *px = x + row * cols, *pr = r + row * cols;
      T* ph = h + row * cols;
      const T sum = row_sum<T>(cols, [&](int64_t i, int64_t count) {
        const Vec<T> v = load_n(px + i, count) + load_n(pr + i, count);
        store_n(ph + i, v, count);
        return v;
      });
      normalise_row(ph, sum, w, b, y + row * cols, mean != nullptr ? mean + row : nullptr,
                    rstd != nullptr ? rstd + row : nullptr, cols, eps);
    }
  });
}

template <class T>
void layer_norm_backward_input(Stream, const T* dy, const T* x, const T* w, const Real<T>* mean, const Real<T>* rstd,
                               const T* dh, T* dx, int64_t rows, int64_t cols) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T *pdy = dy + row * cols, *px = x + row * cols;
      const Vec<T> centre = broadcast(mean[row]), factor = broadcast(rstd[row]);
      T sum_g, sum_gx;
      // Lanes beyond the row have g = 0.
      row_sum_pair<T>(cols, sum_g, sum_gx, [&](int64_t i, int64_t count, Vec<T>& g, Vec<T>& gx) {
        g = load_n(pdy + i, count) * load_n(w + i, count);
        gx = g * ((load_n(px + i, count) - centre) * factor);
      });
      const Vec<T> mean_g = broadcast(sum_g / static_cast<T>(cols)),
                   minus_mean_gx = broadcast(-(sum_gx / static_cast<T>(cols)));
      for_vectors(0, cols, [&](int64_t i, auto lanes) {
        const Vec<T> g = lanes.load(pdy + i) * lanes.load(w + i);
        const Vec<T> xhat = (lanes.load(px + i) - centre) * factor;
        const Vec<T> d = fma(xhat, minus_mean_gx, g - mean_g);
        const int64_t at = row * cols + i;
        lanes.store(dx + at, dh != nullptr ? fma(factor, d, lanes.load(dh + at)) : factor * d);
      });
    }
  });
}

template <class T>
void layer_norm_backward_weight(Stream, const T* dy, const T* x, const Real<T>* mean, const Real<T>* rstd, T* dw, T* db,
                                int64_t rows, int64_t cols) {
  if (dw == nullptr) {
    if (db == nullptr) return;
    column_sums<T, 1>({db}, rows, cols,
                      [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[1]) { t[0] = lanes.load(dy + r * cols + j); });
    return;
  }
  column_sums<T, 2>({dw, db}, rows, cols, [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[2]) {
    t[1] = lanes.load(dy + r * cols + j);
    t[0] = t[1] * ((lanes.load(x + r * cols + j) - broadcast(mean[r])) * broadcast(rstd[r]));
  });
}

TAUT_INSTANTIATE_NORM(float)
TAUT_INSTANTIATE_NORM(double)

}  // namespace taut::TAUT_CPU
