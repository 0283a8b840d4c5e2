// Bicubic, antialiased interpolation of position embeddings, as timm's resample_abs_pos_embed does it through PyTorch:
// Keys' kernel with a = -0.5 (also when enlarging), half-pixel centres, weights renormalised at the border.
#include <algorithm>
#include <cmath>

#include "nn/weights.h"

namespace taut::nn {
namespace {

double keys(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

struct Taps {
  int64_t first;
  std::vector<double> weights;
};

std::vector<Taps> taps_of(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0);
  std::vector<Taps> all;
  for (int64_t o = 0; o < to; ++o) {
    const double center = (static_cast<double>(o) + 0.5) * scale, support = 2 * stretch;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const int64_t last = std::min(from, static_cast<int64_t>(center + support + 0.5));
    Taps t{first, {}};
    double sum = 0;
    for (int64_t i = first; i < last; ++i) {
      t.weights.push_back(keys((static_cast<double>(i) - center + 0.5) / stretch));
      sum += t.weights.back();
    }
    for (double& w : t.weights) w /= sum;
    all.push_back(std::move(t));
  }
  return all;
}

// Interpolates the middle dimension of (outer, n, inner).
std::vector<double> resample(const std::vector<double>& x, int64_t outer, int64_t n, int64_t inner, int64_t to) {
  const std::vector<Taps> taps = taps_of(n, to);
  std::vector<double> y(static_cast<size_t>(outer * to * inner), 0.0);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t j = 0; j < to; ++j) {
      const Taps& t = taps[static_cast<size_t>(j)];
      for (size_t k = 0; k < t.weights.size(); ++k)
        for (int64_t i = 0; i < inner; ++i)
          y[static_cast<size_t>((o * to + j) * inner + i)] +=
              t.weights[k] * x[static_cast<size_t>((o * n + t.first + static_cast<int64_t>(k)) * inner + i)];
    }
  return y;
}

}  // namespace

Tensor interpolate_positions(const Tensor& positions, int64_t prefix, int64_t from_h, int64_t from_w, int64_t to_h,
                             int64_t to_w) {
  TAUT_CHECK(positions.ndim() == 3 && positions.size(0) == 1 && positions.size(1) == prefix + from_h * from_w &&
                 to_h >= 1 && to_w >= 1,
             "[positions] expected (1, {} + {} x {}, d), got {}", prefix, from_h, from_w, to_string(positions.shape()));
  const int64_t d = positions.size(2);
  const std::vector<double> grid = positions.slice(1, prefix, from_h * from_w).to_doubles();
  const std::vector<double> wide = resample(grid, from_h, from_w, d, to_w);
  const std::vector<double> both = resample(wide, 1, from_h, to_w * d, to_h);
  Tensor out = Tensor::empty({1, prefix + to_h * to_w, d}, positions.dtype(), positions.device());
  out.slice(1, 0, prefix).copy_from(positions.slice(1, 0, prefix));
  out.slice(1, prefix, to_h * to_w).copy_from(Tensor::from(both, {1, to_h * to_w, d}));
  return out;
}

}  // namespace taut::nn
