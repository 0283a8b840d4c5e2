// Cases of sum and mean over all elements and of sum over one dimension.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

void add_whole(CaseList& list, const char* op, bool mean) {
  // 4096 is where a whole sum starts a second chunk.
  for (const Shape& shape : {Shape{1}, Shape{5, 7}, Shape{67}, Shape{4095}, Shape{4097}, Shape{3, 5003}, Shape{0, 4}}) {
    const int64_t n = numel(shape);
    if (mean && n == 0) continue;
    list.add(
        {.op = op,
         .name = shape_name(shape),
         .inputs = {{.shape = shape}},
         .run =
             [mean](const std::vector<Var>& in) { return std::vector<Var>{mean ? ops::mean(in[0]) : ops::sum(in[0])}; },
         .oracle = [mean]<class T>(const Arrays<T>& in) -> Arrays<T> {
           Array<T> y(Shape{});
           y[0] = T(0);
           for (const T& x : in[0].values) y[0] += x;
           if (mean) y[0] /= T(static_cast<double>(in[0].numel()));
           return {y};
         },
         .exact = !mean,
         .zeros = n == 0,
         .flops = static_cast<double>(n)});
  }
}

}  // namespace

void add_reduce_cases(CaseList& list) {
  add_whole(list, "sum", false);
  add_whole(list, "mean", true);
  list.reject(
      "mean", "empty", [] { ops::mean(Var(Tensor::zeros({0}))); }, "at least one element");

  const std::pair<Shape, int64_t> dims[] = {
      {{1, 1}, 0},    {{5, 7}, 0}, {{5, 7}, -1}, {{2, 3, 5}, 1},  {{67, 3}, 0},    {{3, 67}, 1},    {{33, 17}, 0},
      {{2100, 3}, 0}, {{0, 3}, 0}, {{3, 0}, 0},  {{197, 192}, 0}, {{197, 192}, 1}, {{2, 50, 64}, 1}};
  for (const auto& [shape, dim] : dims) {
    for (const bool keep : {false, true}) {
      const auto d = static_cast<size_t>(dim < 0 ? dim + std::ssize(shape) : dim);
      int64_t outer = 1, inner = 1;
      for (size_t i = 0; i < d; ++i) outer *= shape[i];
      for (size_t i = d + 1; i < shape.size(); ++i) inner *= shape[i];
      Shape out = shape;
      if (keep)
        out[d] = 1;
      else
        out.erase(out.begin() + static_cast<int64_t>(d));
      list.add(
          {.op = "sum_dim",
           .name = fmt::format("{}-dim{}{}", shape_name(shape), dim, keep ? "-keep" : ""),
           .inputs = {{.shape = shape}},
           .run = [=, dim = dim](const std::vector<Var>& in) { return std::vector<Var>{ops::sum(in[0], dim, keep)}; },
           .oracle = [=, n = shape[d]]<class T>(const Arrays<T>& in) -> Arrays<T> {
             Array<T> y(out);
             for (int64_t o = 0; o < outer; ++o) {
               for (int64_t i = 0; i < inner; ++i) {
                 T s(0);
                 for (int64_t k = 0; k < n; ++k) s += in[0][(o * n + k) * inner + i];
                 y[o * inner + i] = s;
               }
             }
             return {y};
           },
           .exact = true,
           .zeros = numel(shape) == 0,
           .flops = static_cast<double>(numel(shape))});
    }
  }
  list.reject(
      "sum_dim", "dimension",
      [] {
        ops::sum(Var(Tensor::zeros({2, 3})), 2);
      },
      "(2, 3)");
}

}  // namespace taut::cases
