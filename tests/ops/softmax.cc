// Cases of softmax and log_softmax over any dimension.
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

Oracle oracle_of(const Shape& shape, int64_t dim, bool log_of_it) {
  const auto d = static_cast<size_t>(dim < 0 ? dim + std::ssize(shape) : dim);
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < d; ++i) outer *= shape[i];
  for (size_t i = d + 1; i < shape.size(); ++i) inner *= shape[i];
  return [=, n = shape[d]]<class T>(const Arrays<T>& in) -> Arrays<T> {
    Array<T> y(in[0].shape);
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const auto at = [&](int64_t k) { return (o * n + k) * inner + i; };
        if (n == 0) continue;
        T most = in[0][at(0)], sum(0);
        for (int64_t k = 1; k < n; ++k) most = larger(most, in[0][at(k)]);
        const T m(value_of(most));  // a shift by a constant changes neither values nor gradients
        for (int64_t k = 0; k < n; ++k) sum += exp(in[0][at(k)] - m);
        for (int64_t k = 0; k < n; ++k)
          y[at(k)] = log_of_it ? in[0][at(k)] - m - log(sum) : exp(in[0][at(k)] - m) / sum;
      }
    }
    return {y};
  };
}

}  // namespace

void add_softmax_cases(CaseList& list) {
  const std::pair<Shape, int64_t> shapes[] = {{{1, 1}, -1},    {{6, 13}, -1},  {{6, 13}, 0},      {{3, 4, 17}, 1},
                                              {{3, 4, 17}, 2}, {{5, 67}, 1},   {{0, 5}, -1},      {{8}, 0},
                                              {{23, 197}, -1}, {{9, 1000}, 1}, {{2, 50, 65}, -1}, {{3, 197, 197}, -1}};
  for (const bool log_of_it : {false, true}) {
    const char* op = log_of_it ? "log_softmax" : "softmax";
    const auto run = log_of_it ? ops::log_softmax : ops::softmax;
    for (const auto& [shape, dim] : shapes) {
      list.add({.op = op,
                .name = fmt::format("{}-dim{}", shape_name(shape), dim),
                .inputs = {{.shape = shape, .low = -4, .high = 4}},
                .run = [run, dim = dim](const std::vector<Var>& in) { return std::vector<Var>{run(in[0], dim)}; },
                .oracle = oracle_of(shape, dim, log_of_it),
                .bf16 = true,
                .zeros = shape == Shape{1, 1}});
    }
    list.add({.op = op,
              .name = "far-apart",
              .inputs = {{.shape = {5, 19}, .low = -60, .high = 60}},
              .run = [run](const std::vector<Var>& in) { return std::vector<Var>{run(in[0], -1)}; },
              .oracle = oracle_of({5, 19}, -1, log_of_it)});
    list.add({.op = op,
              .name = "shifted",
              .inputs = {{.shape = {5, 19}, .low = 9999, .high = 10001}},
              .run = [run](const std::vector<Var>& in) { return std::vector<Var>{run(in[0], -1)}; },
              .oracle = oracle_of({5, 19}, -1, log_of_it)});
    list.reject(
        op, "dimension",
        [run] {
          run(Var(Tensor::zeros({2, 3})), 2);
        },
        "(2, 3)");
  }
}

}  // namespace taut::cases
