// Cases of matmul (plain, batched, transposed), linear (bias, residual) and linear_gelu.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

struct Product {
  Shape lead = {};
  int64_t m, k, n;
  bool transpose_a = false, transpose_b = false, shared_b = false;
};

void add_product(CaseList& list, const Product& p) {
  const auto operand = [&](const Shape& lead, bool transposed, int64_t rows, int64_t cols) {
    Shape s = lead;
    s.push_back(transposed ? cols : rows);
    s.push_back(transposed ? rows : cols);
    return s;
  };
  const Shape a = operand(p.lead, p.transpose_a, p.m, p.k);
  const Shape b = operand(p.shared_b ? Shape{} : p.lead, p.transpose_b, p.k, p.n);
  const int64_t batch = numel(p.lead);
  list.add({.op = "matmul",
            .name = fmt::format("{}{},{}{}", shape_name(a), p.transpose_a ? "T" : "", shape_name(b),
                                p.transpose_b ? "T" : ""),
            .inputs = {{.shape = a}, {.shape = b}},
            .run =
                [=](const std::vector<Var>& in) {
                  return std::vector<Var>{ops::matmul(in[0], in[1], p.transpose_a, p.transpose_b)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(operand(p.lead, false, p.m, p.n));
              for (int64_t g = 0; g < batch; ++g) {
                const int64_t a0 = g * p.m * p.k, b0 = p.shared_b ? 0 : g * p.k * p.n;
                for (int64_t i = 0; i < p.m; ++i) {
                  for (int64_t j = 0; j < p.n; ++j) {
                    T s(0);
                    for (int64_t k = 0; k < p.k; ++k)
                      s += in[0][a0 + (p.transpose_a ? k * p.m + i : i * p.k + k)] *
                           in[1][b0 + (p.transpose_b ? j * p.k + k : k * p.n + j)];
                    y[(g * p.m + i) * p.n + j] = s;
                  }
                }
              }
              return {y};
            },
            .exact = true,
            .bf16 = true,
            .zeros = batch * p.m * p.k * p.n == 0,
            .flops = 2.0 * static_cast<double>(batch * p.m * p.k * p.n)});
}

struct LinearRow {
  Shape x;
  int64_t out;
  bool bias, residual = false, gelu = false;
  Precision precision = Precision::kF32;
};

// x, w, then bias and residual where there are.
template <class T>
Arrays<T> linear_gradients(const LinearRow& row, const Arrays<T>& in, const Array<T>& dy) {
  const int64_t in_size = row.x.back(), out = row.out;
  Arrays<T> d;
  for (const Array<T>& x : in) d.emplace_back(x.shape);
  for (int64_t at = 0; at < dy.numel(); ++at) {
    const int64_t r = at / out, o = at % out;
    T slope(1);
    if (row.gelu) {
      T s = in[2][o];
      for (int64_t k = 0; k < in_size; ++k) s += in[0][r * in_size + k] * in[1][o * in_size + k];
      slope = T(0.5) * (T(1) + erf(s / T(std::sqrt(2.0)))) + s * exp(-s * s / T(2)) / T(std::sqrt(2 * M_PI));
    }
    const T g = dy[at] * slope;
    for (int64_t k = 0; k < in_size; ++k) {
      d[0][r * in_size + k] += g * in[1][o * in_size + k];
      d[1][o * in_size + k] += g * in[0][r * in_size + k];
    }
    if (row.bias) d[2][o] += g;
    if (row.residual) d[row.bias ? 3 : 2][at] = dy[at];
  }
  return d;
}

void add_linear(CaseList& list, const LinearRow& row) {
  const int64_t in_size = row.x.back(), out = row.out, rows = in_size > 0 ? numel(row.x) / in_size : 0;
  Shape y_shape = row.x;
  y_shape.back() = out;
  std::vector<Input> inputs{{.shape = row.x}, {.shape = {out, in_size}}};
  if (row.bias) inputs.push_back({.shape = {out}});
  if (row.residual) inputs.push_back({.shape = y_shape});
  const size_t bias = 2, residual = row.bias ? 3 : 2;
  const bool tf32 = row.precision == Precision::kTF32;
  GradientOracle gradient_oracle;
  if (rows * in_size * out > 5'000'000)
    gradient_oracle = [row]<class T>(const Arrays<T>& in, const Arrays<T>& dy) {
      return linear_gradients(row, in, dy[0]);
    };
  list.add({.op = row.gelu ? "linear_gelu" : "linear",
            .name = fmt::format("{}-{}{}{}{}", shape_name(row.x), out, row.bias ? "-bias" : "",
                                row.residual ? "-residual" : "", tf32 ? "-tf32" : ""),
            .inputs = inputs,
            .run =
                [=](const std::vector<Var>& in) {
                  if (row.gelu) return std::vector<Var>{ops::linear_gelu(in[0], in[1], in[2], row.precision)};
                  return std::vector<Var>{ops::linear(in[0], in[1], row.bias ? in[bias] : Var(),
                                                      row.residual ? in[residual] : Var(), row.precision)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y(y_shape);
              for (int64_t r = 0; r < rows; ++r) {
                for (int64_t o = 0; o < out; ++o) {
                  T s(0);
                  for (int64_t k = 0; k < in_size; ++k) s += in[0][r * in_size + k] * in[1][o * in_size + k];
                  if (row.bias) s += in[bias][o];
                  if (row.residual) s += in[residual][r * out + o];
                  if (row.gelu) {
                    const T gate = T(0.5) * (T(1) + erf(s / T(std::sqrt(2.0))));
                    s = gate == T(0) ? T(0) : s * gate;  // 0 at -inf
                  }
                  y[r * out + o] = s;
                }
              }
              return {y};
            },
            .gradient_oracle = gradient_oracle,
            .exact = !row.gelu,
            .bf16 = !tf32 && !(row.gelu && rows * out == 1),  // one number may be the worst of all roundings
            .tf32 = tf32,
            .zeros = rows == 0,
            .flops = 2.0 * static_cast<double>(rows * in_size * out)});
}

}  // namespace

void add_matmul_cases(CaseList& list) {
  add_product(list, {.m = 1, .k = 1, .n = 1});
  add_product(list, {.m = 6, .k = 13, .n = 9});
  add_product(list, {.m = 17, .k = 33, .n = 65});
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      add_product(list, {.m = 7, .k = 11, .n = 19, .transpose_a = ta, .transpose_b = tb});
  add_product(list, {.lead = {2, 3}, .m = 5, .k = 8, .n = 7});
  add_product(list, {.lead = {3}, .m = 5, .k = 17, .n = 7, .transpose_a = true});
  add_product(list, {.lead = {3}, .m = 5, .k = 17, .n = 7, .transpose_b = true});
  add_product(list, {.lead = {2, 2}, .m = 3, .k = 5, .n = 7, .shared_b = true});
  add_product(list, {.lead = {2}, .m = 3, .k = 5, .n = 7, .transpose_a = true, .transpose_b = true, .shared_b = true});
  add_product(list, {.m = 3, .k = 385, .n = 5});  // one past a block of k
  add_product(list, {.m = 3, .k = 769, .n = 17});
  add_product(list, {.m = 4, .k = 0, .n = 3});
  add_product(list, {.m = 0, .k = 3, .n = 2});
  add_product(list, {.lead = {0}, .m = 2, .k = 3, .n = 2});
  add_product(list, {.m = 197, .k = 64, .n = 197, .transpose_b = true});  // q kT of one head
  add_product(list, {.lead = {3}, .m = 50, .k = 64, .n = 50, .transpose_b = true});
  add_product(list, {.m = 128, .k = 64, .n = 96, .transpose_a = true, .transpose_b = true});
  const auto zeros = [](Shape s, DType d = DType::kF32) { return Var(Tensor::zeros(std::move(s), d)); };
  list.reject(
      "matmul", "inner-sizes",
      [=] {
        ops::matmul(zeros({2, 3}), zeros({4, 5}));
      },
      "inner sizes");
  list.reject(
      "matmul", "leading-sizes",
      [=] {
        ops::matmul(zeros({2, 2, 3}), zeros({3, 3, 5}));
      },
      "leading dimensions");
  list.reject(
      "matmul", "vector",
      [=] {
        ops::matmul(zeros({3}), zeros({3, 2}));
      },
      "at least 2 dimensions");
  list.reject(
      "matmul", "dtypes",
      [=] {
        ops::matmul(zeros({2, 3}), zeros({3, 2}, DType::kF64));
      },
      "f64");

  for (const bool bias : {false, true})
    for (const bool residual : {false, true}) add_linear(list, {{2, 5, 16}, 10, bias, residual});
  add_linear(list, {{1, 1}, 1, true});
  add_linear(list, {{7}, 3, true});  // no leading dimension
  add_linear(list, {{17, 67}, 31, true, true});
  add_linear(list, {{0, 5}, 4, true});
  add_linear(list, {{197, 64}, 192, true});
  add_linear(list, {{5, 768}, 768, true, true});
  add_linear(list, {{3, 3072}, 192, true, true});
  add_linear(list, {{7, 192}, 576, true});
  for (const LinearRow& row : {LinearRow{{2, 5, 16}, 10, true, false, true}, LinearRow{{1, 1}, 1, true, false, true},
                               LinearRow{{17, 67}, 33, true, false, true}, LinearRow{{0, 5}, 4, true, false, true},
                               LinearRow{{9, 192}, 768, true, false, true}})
    add_linear(list, row);
  // The tokens of an image through the first product of ViT-Ti's MLP.
  add_linear(list, {{197, 192}, 768, true, true});
  add_linear(list, {{197, 192}, 768, true, false, true});
  // Over the edges of the tensor cores' tiles (128 x 128, 64 bytes of k), and where 16 bytes are never aligned.
  add_linear(list, {{130, 40}, 136, true, true});
  add_linear(list, {{129, 17}, 131, true, true});
  add_linear(list, {{3, 100}, 260, true, false, true});
  for (const LinearRow& row :
       {LinearRow{{2, 5, 16}, 10, true, true}, LinearRow{{17, 67}, 31, true, true},
        LinearRow{{130, 40}, 136, true, true}, LinearRow{{129, 17}, 131, false}, LinearRow{{0, 5}, 4, true},
        LinearRow{{197, 64}, 192, true}, LinearRow{{9, 192}, 768, true, false, true}}) {
    LinearRow tf32 = row;
    tf32.precision = Precision::kTF32;
    add_linear(list, tf32);
  }
  list.reject(
      "linear", "in-sizes",
      [=] {
        ops::linear(zeros({2, 3}), zeros({4, 5}));
      },
      "(out, in)");
  list.reject(
      "linear", "bias-shape",
      [=] {
        ops::linear(zeros({2, 3}), zeros({4, 3}), zeros({3}));
      },
      "'bias' of shape (4)");
  list.reject(
      "linear", "residual-shape",
      [=] {
        ops::linear(zeros({2, 3}), zeros({4, 3}), {}, zeros({2, 3}));
      },
      "'residual' of shape (2, 4)");
  list.reject(
      "linear_gelu", "no-bias",
      [=] {
        ops::linear_gelu(zeros({2, 3}), zeros({4, 3}), {});
      },
      "bias");
}

}  // namespace taut::cases
