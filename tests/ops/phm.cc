// Cases of phm_linear: y = x H + bias with H = sum_i kron(rule[i], left[i] right[i]) built element by element.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

void add_row(CaseList& list, const Shape& x, int64_t out, int64_t n, int64_t rank, bool bias) {
  const int64_t in_size = x.back(), rows = numel(x) / in_size, p_size = in_size / n, q_size = out / n;
  std::vector<Input> inputs{
      {.shape = x}, {.shape = {n, n, n}}, {.shape = {n, p_size, rank}}, {.shape = {n, rank, q_size}}};
  if (bias) inputs.push_back({.shape = {out}});
  Shape y_shape = x;
  y_shape.back() = out;
  list.add({.op = "phm_linear",
            .name = fmt::format("{}-{}-n{}-r{}{}", shape_name(x), out, n, rank, bias ? "-bias" : ""),
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  return std::vector<Var>{ops::phm_linear(in[0], in[1], in[2], in[3], bias ? in[4] : Var())};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> h({in_size, out}), y(y_shape);
              for (int64_t row = 0; row < in_size; ++row) {
                for (int64_t col = 0; col < out; ++col) {
                  const int64_t a = row / p_size, p = row % p_size, b = col / q_size, q = col % q_size;
                  T s(0);
                  for (int64_t i = 0; i < n; ++i) {
                    T product(0);
                    for (int64_t r = 0; r < rank; ++r)
                      product += in[2][(i * p_size + p) * rank + r] * in[3][(i * rank + r) * q_size + q];
                    s += in[1][(i * n + a) * n + b] * product;
                  }
                  h[row * out + col] = s;
                }
              }
              for (int64_t i = 0; i < rows; ++i) {
                for (int64_t o = 0; o < out; ++o) {
                  T s(0);
                  for (int64_t k = 0; k < in_size; ++k) s += in[0][i * in_size + k] * h[k * out + o];
                  y[i * out + o] = bias ? s + in[4][o] : s;
                }
              }
              return {y};
            },
            .exact = true,
            .zeros = rows == 0,
            .specials = Specials::kNan,  // factors meet an infinity in other places than H does
            .flops = 2.0 * static_cast<double>(rows * (n * rank * (in_size + out) + n * n * n * rank))});
}

}  // namespace

void add_phm_cases(CaseList& list) {
  add_row(list, {5, 32}, 24, 4, 1, true);
  add_row(list, {5, 32}, 24, 4, 1, false);
  add_row(list, {2, 3, 12}, 8, 4, 2, true);
  add_row(list, {1, 1}, 1, 1, 1, true);
  add_row(list, {7, 15}, 9, 3, 2, true);
  add_row(list, {0, 8}, 4, 4, 1, true);
  add_row(list, {17, 34}, 6, 2, 3, true);
  add_row(list, {19, 192}, 8, 4, 1, true);
  add_row(list, {67, 768}, 24, 4, 1, true);
  add_row(list, {2, 197, 768}, 24, 4, 1, true);  // the tokens of two images into ViT-B's adapter
  add_row(list, {67, 24}, 768, 4, 1, true);
  add_row(list, {97, 16}, 8, 8, 8, true);    // slices of the rows on the runner
  add_row(list, {29, 64}, 8, 8, 16, true);   // more than 48 KB of shared memory a block
  add_row(list, {7, 32}, 32, 32, 4, true);   // more than any block shares, backward
  add_row(list, {3, 40}, 40, 40, 5, false);  // and forward
  const auto zeros = [](Shape s) { return Var(Tensor::zeros(std::move(s))); };
  list.reject(
      "phm_linear", "not-divisible",
      [=] {
        ops::phm_linear(zeros({2, 10}), zeros({4, 4, 4}), zeros({4, 2, 1}), zeros({4, 1, 2}));
      },
      "[phm_linear] expected");
  list.reject(
      "phm_linear", "rule-shape",
      [=] {
        ops::phm_linear(zeros({2, 8}), zeros({4, 4, 3}), zeros({4, 2, 1}), zeros({4, 1, 2}));
      },
      "[phm_linear] expected");
  list.reject(
      "phm_linear", "ranks",
      [=] {
        ops::phm_linear(zeros({2, 8}), zeros({4, 4, 4}), zeros({4, 2, 1}), zeros({4, 2, 2}));
      },
      "[phm_linear] expected");
}

}  // namespace taut::cases
