// A warp works on a row, which stays in its registers between the passes unless it is very long.
#include "kernels/norm.h"

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;  // four rows a block

template <int kEach>
struct Width {
  static constexpr int each = kEach;
};

// h (or x itself, where r is null) -> y, mean, rstd. Rows of at most 32 kEach elements are read once and stay in
// registers; kEach 0 takes any, and reads them again for each pass.
template <class T, int kEach>
__global__ void layer_norm_forward_kernel(const T* x, const T* r, const T* w, const T* b, T* h, T* y, Real<T>* mean,
                                          Real<T>* rstd, int64_t rows, int64_t cols, Real<T> eps) {
  using R = Real<T>;
  const R n = static_cast<R>(cols);
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const int64_t first = row * cols;
    const auto take = [&](int64_t i) {
      const R v = widen(x[first + i]);
      if (r == nullptr) return v;
      const T sum = convert<T>(v + widen(r[first + i]));
      h[first + i] = sum;
      return widen(sum);  // what backward will see
    };
    R m, factor;
    if constexpr (kEach > 0) {
      WarpRow<R, kEach> in;
      m = in.sum(cols, [&](int e, int64_t i) { return in.v[e] = take(i); }) / n;
      const R squares = in.sum(cols, [&](int e, int64_t) { return (in.v[e] - m) * (in.v[e] - m); });
      factor = R(1) / sqrt(squares / n + eps);
      in.each(cols, [&](int e, int64_t i) {
        y[first + i] = convert<T>(fma((in.v[e] - m) * factor, widen(w[i]), widen(b[i])));
      });
    } else {
      m = row_sum<R>(cols, take) / n;
      const T* const in = r == nullptr ? x : h;
      const auto centred = [&](int64_t i) { return widen(in[first + i]) - m; };
      const R squares = row_sum<R>(cols, [&](int64_t i) { return centred(i) * centred(i); });
      factor = R(1) / sqrt(squares / n + eps);
      for (int64_t i = lane(); i < cols; i += kWarpSize)
        y[first + i] = convert<T>(fma(centred(i) * factor, widen(w[i]), widen(b[i])));
    }
    if (lane() != 0) continue;
    if (mean != nullptr) mean[row] = m;
    if (rstd != nullptr) rstd[row] = factor;
  }
}

template <class T, int kEach>
__global__ void layer_norm_backward_input_kernel(const T* dy, const T* x, const T* w, const Real<T>* mean,
                                                 const Real<T>* rstd, const T* dh, T* dx, int64_t rows, int64_t cols) {
  using R = Real<T>;
  const R n = static_cast<R>(cols);
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const int64_t first = row * cols;
    const R centre = mean[row], factor = rstd[row];
    const auto g_at = [&](int64_t i) { return widen(dy[first + i]) * widen(w[i]); };
    const auto xhat_at = [&](int64_t i) { return (widen(x[first + i]) - centre) * factor; };
    const auto finish = [&](int64_t i, R g, R xhat, R mean_g, R minus_mean_gx) {
      const R d = fma(xhat, minus_mean_gx, g - mean_g);
      dx[first + i] = convert<T>(dh != nullptr ? fma(factor, d, widen(dh[first + i])) : factor * d);
    };
    if constexpr (kEach > 0) {
      WarpRow<R, kEach> g, xhat;
      const R mean_g = g.sum(cols, [&](int e, int64_t i) { return g.v[e] = g_at(i); }) / n;
      const R minus_mean_gx = -(g.sum(cols, [&](int e, int64_t i) { return g.v[e] * (xhat.v[e] = xhat_at(i)); }) / n);
      g.each(cols, [&](int e, int64_t i) { finish(i, g.v[e], xhat.v[e], mean_g, minus_mean_gx); });
    } else {
      const R mean_g = row_sum<R>(cols, g_at) / n;
      const R minus_mean_gx = -(row_sum<R>(cols, [&](int64_t i) { return g_at(i) * xhat_at(i); }) / n);
      for (int64_t i = lane(); i < cols; i += kWarpSize) finish(i, g_at(i), xhat_at(i), mean_g, minus_mean_gx);
    }
  }
}

// f(constant kEach) for rows of `cols` elements of T: the widths of ViT-Ti, -S and -B, and 1024; 0 beyond.
template <class F>
void by_width(int64_t cols, F&& f) {
  if (cols <= 192) return f(Width<6>{});
  if (cols <= 384) return f(Width<12>{});
  if (cols <= 768) return f(Width<24>{});
  if (cols <= 1024) return f(Width<32>{});
  f(Width<0>{});
}

template <class T>
struct WeightTerms {
  const T *dy, *x;
  const Real<T>*mean, *rstd;
  int64_t cols;
  __device__ void operator()(int64_t row, int64_t j, Real<T> (&t)[2]) const {
    t[1] = widen(dy[row * cols + j]);
    t[0] = t[1] * ((widen(x[row * cols + j]) - mean[row]) * rstd[row]);
  }
};

}  // namespace

template <class T>
void layer_norm_forward(Stream stream, const T* x, const T* w, const T* b, T* y, Real<T>* mean, Real<T>* rstd,
                        int64_t rows, int64_t cols, Real<T> eps) {
  residual_layer_norm_forward<T>(stream, x, nullptr, w, b, nullptr, y, mean, rstd, rows, cols, eps);
}

template <class T>
void residual_layer_norm_forward(Stream stream, const T* x, const T* r, const T* w, const T* b, T* h, T* y,
                                 Real<T>* mean, Real<T>* rstd, int64_t rows, int64_t cols, Real<T> eps) {
  by_width(cols, [&](auto width) {
    launch(layer_norm_forward_kernel<T, decltype(width)::each>, grid_of_warps(rows, kThreads), kThreads, 0, stream, x,
           r, w, b, h, y, mean, rstd, rows, cols, eps);
  });
}

template <class T>
void layer_norm_backward_input(Stream stream, const T* dy, const T* x, const T* w, const Real<T>* mean,
                               const Real<T>* rstd, const T* dh, T* dx, int64_t rows, int64_t cols) {
  by_width(cols, [&](auto width) {
    launch(layer_norm_backward_input_kernel<T, decltype(width)::each>, grid_of_warps(rows, kThreads), kThreads, 0,
           stream, dy, x, w, mean, rstd, dh, dx, rows, cols);
  });
}

template <class T>
void layer_norm_backward_weight(Stream stream, const T* dy, const T* x, const Real<T>* mean, const Real<T>* rstd, T* dw,
                                T* db, int64_t rows, int64_t cols) {
  if (dw != nullptr)
    return stored_column_sums<T, 2>(stream, {dw, db}, rows, cols, WeightTerms<T>{dy, x, mean, rstd, cols});
  if (db != nullptr) stored_column_sums<T, 1>(stream, {db}, rows, cols, ColumnTerm<T>{dy, cols});
}

TAUT_INSTANTIATE_NORM(float)
TAUT_INSTANTIATE_NORM(double)
TAUT_INSTANTIATE_NORM(BF16)

}  // namespace taut::TAUT_GPU
