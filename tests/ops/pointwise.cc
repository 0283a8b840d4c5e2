// Cases of add sub mul div, exp log sqrt square tanh sigmoid relu gelu_erf gelu_tanh silu, scale and bias_gelu.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

// x s(x) with a factor that vanishes faster than x grows: 0 at -inf, where the product itself is -inf times 0.
template <class T>
T gated(T x, T gate) {
  return gate == T(0) ? T(0) : x * gate;
}

template <class T>
T gelu(T x) {
  return gated(x, T(0.5) * (T(1) + erf(x / T(std::sqrt(2.0)))));
}

// y = f(x), element by element.
template <class F>
Oracle each(F f) {
  return [f]<class T>(const Arrays<T>& in) -> Arrays<T> {
    Array<T> y(in[0].shape);
    for (int64_t i = 0; i < y.numel(); ++i) y[i] = f(in[0][i]);
    return {y};
  };
}

// y = f(a, b) with NumPy's broadcasting: dimensions are aligned at the right, size 1 stretches.
template <class F>
Oracle broadcast(F f) {
  return [f]<class T>(const Arrays<T>& in) -> Arrays<T> {
    const size_t dims = std::max(in[0].shape.size(), in[1].shape.size());
    const auto size = [&](const Array<T>& x, size_t d) {
      const size_t lead = dims - x.shape.size();
      return d < lead ? int64_t{1} : x.shape[d - lead];
    };
    Shape shape;
    for (size_t d = 0; d < dims; ++d) shape.push_back(size(in[0], d) == 1 ? size(in[1], d) : size(in[0], d));
    Array<T> y(shape);
    for (int64_t i = 0; i < y.numel(); ++i) {
      int64_t at[2] = {0, 0}, step[2] = {1, 1}, rest = i;
      for (size_t d = dims; d-- > 0;) {
        const int64_t index = rest % shape[d];
        rest /= shape[d];
        for (const int k : {0, 1}) {
          const int64_t n = size(in[static_cast<size_t>(k)], d);
          if (n != 1) at[k] += index * step[k];
          step[k] *= n;
        }
      }
      y[i] = f(in[0][at[0]], in[1][at[1]]);
    }
    return {y};
  };
}

struct UnaryRow {
  const char* op;
  Var (*run)(const Var&);
  Oracle oracle;
  double low, high, away = 0;
  Specials specials = Specials::kAll;
  bool exact = false;
};

void add_unary(CaseList& list, const UnaryRow& row) {
  for (const Shape& shape : {Shape{1}, Shape{5, 7}, Shape{17}, Shape{67}, Shape{0, 3}, Shape{2, 197, 192}}) {
    list.add({.op = row.op,
              .name = shape_name(shape),
              .inputs = {{.shape = shape, .low = row.low, .high = row.high, .away = row.away}},
              .run = [run = row.run](const std::vector<Var>& in) { return std::vector<Var>{run(in[0])}; },
              .oracle = row.oracle,
              .exact = row.exact,
              // Of one number alone: the gradient of a saturated tanh is lost with the last bit of its output.
              .bf16 = numel(shape) != 1,
              .zeros = numel(shape) == 1,
              .specials = row.specials});
  }
  list.reject(
      row.op, "no-input", [run = row.run] { run(Var()); }, row.op);
  list.reject(
      row.op, "integers", [run = row.run] { run(Var(Tensor::zeros({3}, DType::kI64))); }, "expected f32 or f64");
}

struct BinaryRow {
  const char* op;
  Var (*run)(const Var&, const Var&);
  Oracle oracle;
  double away = 0;
  bool exact = true;
};

void add_binary(CaseList& list, const BinaryRow& row) {
  const std::pair<Shape, Shape> shapes[] = {
      {{1}, {1}},
      {{5, 7}, {5, 7}},
      {{5, 7}, {7}},
      {{5, 7}, {5, 1}},
      {{5, 7}, {1}},
      {{5, 1}, {1, 7}},
      {{2, 3, 5}, {3, 1}},
      {{67}, {67}},
      {{0, 3}, {3}},
      {{}, {}},
      {{17}, {5, 3, 17}},
      {{2, 1, 3, 1}, {4, 1, 5}},
      {{2, 197, 192}, {192}},
      {{2, 50, 64}, {50, 64}},
      {{33, 64}, {1, 33, 64}},
  };
  for (const auto& [a, b] : shapes) {
    list.add({.op = row.op,
              .name = shape_name(a) + "," + shape_name(b),
              .inputs = {{.shape = a, .low = -2, .high = 2, .away = row.away},
                         {.shape = b, .low = -2, .high = 2, .away = row.away}},
              .run = [run = row.run](const std::vector<Var>& in) { return std::vector<Var>{run(in[0], in[1])}; },
              .oracle = row.oracle,
              .exact = row.exact,
              .bf16 = row.exact,  // gradients of a quotient that was broadcast are sums of rounded numbers that cancel
              .zeros = numel(a) == 0});
  }
  const auto zeros = [](Shape s, DType d = DType::kF32) { return Var(Tensor::zeros(std::move(s), d)); };
  list.reject(
      row.op, "shapes",
      [=, run = row.run] {
        run(zeros({2, 3}), zeros({2, 4}));
      },
      "(2, 3)");
  list.reject(
      row.op, "dtypes", [=, run = row.run] { run(zeros({2}), zeros({2}, DType::kF64)); }, "f64");
}

}  // namespace

void add_pointwise_cases(CaseList& list) {
  add_binary(list, {.op = "add", .run = ops::add, .oracle = broadcast([](auto a, auto b) { return a + b; })});
  add_binary(list, {.op = "sub", .run = ops::sub, .oracle = broadcast([](auto a, auto b) { return a - b; })});
  add_binary(list, {.op = "mul", .run = ops::mul, .oracle = broadcast([](auto a, auto b) { return a * b; })});
  add_binary(list, {.op = "div",
                    .run = ops::div,
                    .oracle = broadcast([](auto a, auto b) { return a / b; }),
                    .away = 0.5,
                    .exact = false});

  // One input twice: its gradients are added.
  list.add({.op = "add",
            .name = "33x64-to-itself",
            .inputs = {{.shape = {33, 64}}},
            .run = [](const std::vector<Var>& in) { return std::vector<Var>{ops::add(in[0], in[0])}; },
            .oracle = each([](auto x) { return x + x; }),
            .exact = true,
            .bf16 = true});

  add_unary(list, {"exp", ops::exp, each([](auto x) { return exp(x); }), -3, 3});
  add_unary(list, {"log", ops::log, each([](auto x) { return log(x); }), 0.1, 5});
  add_unary(list, {"sqrt", ops::sqrt, each([](auto x) { return sqrt(x); }), 0.1, 5});
  add_unary(list, {.op = "square",
                   .run = ops::square,
                   .oracle = each([](auto x) { return x * x; }),
                   .low = -4,
                   .high = 4,
                   .exact = true});
  add_unary(list, {"tanh", ops::tanh, each([](auto x) { return tanh(x); }), -4, 4});
  add_unary(list, {"sigmoid", ops::sigmoid, each([]<class T>(T x) { return T(1) / (T(1) + exp(-x)); }), -5, 5});
  add_unary(list, {.op = "relu",
                   .run = ops::relu,
                   .oracle = each([]<class T>(T x) { return x < T(0) ? T(0) : x; }),
                   .low = -2,
                   .high = 2,
                   .away = 0.01,
                   .exact = true});
  add_unary(list, {"gelu_erf", ops::gelu_erf, each([]<class T>(T x) { return gelu(x); }), -5, 5});
  add_unary(list, {"gelu_tanh", ops::gelu_tanh, each([]<class T>(T x) {
                     const T inner = T(std::sqrt(2 / M_PI)) * (x + T(0.044715) * x * x * x);
                     return gated(x, T(0.5) * (T(1) + tanh(inner)));
                   }),
                   -5, 5});
  add_unary(list, {"silu", ops::silu, each([]<class T>(T x) { return gated(x, T(1) / (T(1) + exp(-x))); }), -5, 5});

  const std::pair<double, Shape> scaled[] = {{-0.5, {5, 13}}, {0.0, {5, 13}}, {3.0, {5, 13}}, {0.125, {2, 197, 192}}};
  for (const auto& [factor, shape] : scaled) {
    list.add(
        {.op = "scale",
         .name = fmt::format("{}{}", factor, numel(shape) == 65 ? "" : "-" + shape_name(shape)),
         .inputs = {{.shape = shape}},
         .run = [factor = factor](const std::vector<Var>& in) { return std::vector<Var>{ops::scale(in[0], factor)}; },
         .oracle = each([factor = factor]<class T>(T x) { return T(factor) * x; }),
         .exact = true,
         .bf16 = true,
         .zeros = factor == 0});
  }

  const std::pair<Shape, bool> biased[] = {{{1, 1}, false}, {{5, 7}, false},     {{3, 2, 17}, false},
                                           {{0, 4}, false}, {{197, 768}, false}, {{33, 192}, true}};
  for (const auto& [shape, frozen] : biased) {
    const int64_t n = shape.back();
    list.add({.op = "bias_gelu",
              .name = shape_name(shape) + (frozen ? "-frozen-bias" : ""),
              .inputs = {{.shape = shape, .low = -3, .high = 3}, {.shape = {n}, .differentiable = !frozen}},
              .run = [](const std::vector<Var>& in) { return std::vector<Var>{ops::bias_gelu(in[0], in[1])}; },
              .oracle = [n]<class T>(const Arrays<T>& in) -> Arrays<T> {
                Array<T> y(in[0].shape);
                for (int64_t i = 0; i < y.numel(); ++i) y[i] = gelu(in[0][i] + in[1][i % n]);
                return {y};
              },
              .bf16 = true,
              .zeros = shape[0] == 0});
  }
  list.reject(
      "bias_gelu", "bias-shape",
      [] {
        ops::bias_gelu(Var(Tensor::zeros({2, 3})), Var(Tensor::zeros({4})));
      },
      "'bias' of shape (3)");
}

}  // namespace taut::cases
