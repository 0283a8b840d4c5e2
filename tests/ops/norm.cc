// Cases of layer_norm and residual_layer_norm: (x - mean) / sqrt(var + eps) * w + b over the last dimension.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

template <class T>
Array<T> normalise(const Array<T>& x, const Array<T>& w, const Array<T>& b, double eps) {
  const int64_t cols = x.size(-1), rows = x.numel() / cols;
  const T count(static_cast<double>(cols));
  Array<T> y(x.shape);
  for (int64_t r = 0; r < rows; ++r) {
    T mean(0), variance(0);
    for (int64_t j = 0; j < cols; ++j) mean += x[r * cols + j];
    mean /= count;
    for (int64_t j = 0; j < cols; ++j) variance += (x[r * cols + j] - mean) * (x[r * cols + j] - mean);
    const T deviation = sqrt(variance / count + T(eps));
    for (int64_t j = 0; j < cols; ++j) y[r * cols + j] = (x[r * cols + j] - mean) / deviation * w[j] + b[j];
  }
  return y;
}

void add_row(CaseList& list, const Shape& shape, double eps, double low, double high, const std::string& what = "") {
  const int64_t cols = shape.back();
  const Input x{.shape = shape, .low = low, .high = high}, w{.shape = {cols}, .low = 0.5, .high = 1.5},
      b{.shape = {cols}};
  const std::string name = fmt::format("{}-eps{}{}", shape_name(shape), eps, what);
  // Of one column nothing is left but the bias; the gradients of x and w are zero.
  const bool zeros = cols == 1 || numel(shape) == 0;
  list.add(
      {.op = "layer_norm",
       .name = name,
       .inputs = {x, w, b},
       .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::layer_norm(in[0], in[1], in[2], eps)}; },
       .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> { return {normalise(in[0], in[1], in[2], eps)}; },
       .bf16 = true,
       .zeros = zeros});
  list.add({.op = "residual_layer_norm",
            .name = name,
            .inputs = {x, x, w, b},
            .run =
                [=](const std::vector<Var>& in) {
                  const auto [h, y] = ops::residual_layer_norm(in[0], in[1], in[2], in[3], eps);
                  return std::vector<Var>{h, y};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> h(in[0].shape);
              for (int64_t i = 0; i < h.numel(); ++i) h[i] = in[0][i] + in[1][i];
              return {h, normalise(h, in[2], in[3], eps)};
            },
            // A sum far from zero is rounded to bf16 before it is normalised: by more than its deviation.
            .bf16 = what.empty(),
            .zeros = zeros});
}

}  // namespace

void add_norm_cases(CaseList& list) {
  add_row(list, {4, 6, 24}, 1e-6, -2, 2);
  add_row(list, {4, 6, 24}, 1e-12, -2, 2);
  add_row(list, {3, 1}, 1e-6, -2, 2);
  add_row(list, {1, 3}, 1e-6, -2, 2);
  add_row(list, {5, 17}, 1e-6, -2, 2);
  add_row(list, {37, 67}, 1e-6, -2, 2);
  add_row(list, {0, 8}, 1e-6, -2, 2);
  add_row(list, {2, 197, 192}, 1e-6, -2, 2);
  add_row(list, {3, 193}, 1e-6, -2, 2);  // one more than a warp's registers are laid out for
  add_row(list, {33, 768}, 1e-12, -2, 2);
  add_row(list, {3, 1001}, 1e-6, -2, 2);
  // Widths of ViT-S, ViT-L and ViT-H; beyond 1024 a row does not stay in a warp's registers.
  add_row(list, {8, 384}, 1e-6, -2, 2);
  add_row(list, {4, 1024}, 1e-6, -2, 2);
  add_row(list, {4, 1280}, 1e-6, -2, 2);
  add_row(list, {2, 1031}, 1e-6, -2, 2);
  add_row(list, {5, 65}, 1e-6, 99, 101, "-far-from-zero");
  const auto zeros = [](Shape s) { return Var(Tensor::zeros(std::move(s))); };
  list.reject(
      "layer_norm", "weight-shape",
      [=] {
        ops::layer_norm(zeros({2, 3}), zeros({4}), zeros({3}), 1e-6);
      },
      "'weight' of shape (3)");
  list.reject(
      "layer_norm", "no-columns",
      [=] {
        ops::layer_norm(zeros({2, 0}), zeros({0}), zeros({0}), 1e-6);
      },
      "n >= 1");
  list.reject(
      "residual_layer_norm", "residual-shape",
      [=] {
        ops::residual_layer_norm(zeros({2, 3}), zeros({3}), zeros({3}), zeros({3}), 1e-6);
      },
      "'r' of shape (2, 3)");
}

}  // namespace taut::cases
