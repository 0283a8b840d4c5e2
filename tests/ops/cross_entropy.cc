// Cases of cross_entropy: -sum_j t_j log p_j, t = ls / classes + (1 - ls) [j = label].
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

const char* name_of(ops::Reduction r) {
  return r == ops::Reduction::kMean ? "mean" : r == ops::Reduction::kSum ? "sum" : "none";
}

void add_row(CaseList& list, int64_t rows, int64_t classes, double smoothing, ops::Reduction reduction,
             double range = 4) {
  list.add({.op = "cross_entropy",
            .name = fmt::format("{}x{}-ls{}-{}{}", rows, classes, smoothing, name_of(reduction),
                                range > 4 ? "-far-apart" : ""),
            .inputs = {{.shape = {rows, classes}, .low = -range, .high = range}, {.shape = {rows}, .classes = classes}},
            .run =
                [=](const std::vector<Var>& in) {
                  return std::vector<Var>{ops::cross_entropy(in[0], in[1].value(), smoothing, reduction)};
                },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              const bool each = reduction == ops::Reduction::kNone;
              Array<T> y(each ? Shape{rows} : Shape{});
              T total(0);
              for (int64_t r = 0; r < rows; ++r) {
                T most = in[0][r * classes], sum(0), loss(0);
                for (int64_t j = 1; j < classes; ++j) most = larger(most, in[0][r * classes + j]);
                const T m(value_of(most));
                for (int64_t j = 0; j < classes; ++j) sum += exp(in[0][r * classes + j] - m);
                for (int64_t j = 0; j < classes; ++j) {
                  const double t =
                      smoothing / static_cast<double>(classes) + (j == index_of(in[1][r]) ? 1 - smoothing : 0);
                  if (t != 0) loss += T(t) * (log(sum) - (in[0][r * classes + j] - m));
                }
                if (each) y[r] = loss;
                total += loss;
              }
              if (!each) y[0] = reduction == ops::Reduction::kMean ? total / T(static_cast<double>(rows)) : total;
              return {y};
            },
            .bf16 = true,
            .zeros = classes == 1 || rows == 0});
}

}  // namespace

void add_cross_entropy_cases(CaseList& list) {
  for (const double smoothing : {0.0, 0.1})
    for (const auto reduction : {ops::Reduction::kMean, ops::Reduction::kSum, ops::Reduction::kNone})
      add_row(list, 9, 11, smoothing, reduction);
  add_row(list, 1, 1, 0, ops::Reduction::kMean);
  add_row(list, 1, 2, 0, ops::Reduction::kMean);
  add_row(list, 0, 5, 0, ops::Reduction::kSum);
  add_row(list, 17, 67, 0.1, ops::Reduction::kMean);
  add_row(list, 32, 1000, 0, ops::Reduction::kMean);
  add_row(list, 64, 257, 0.1, ops::Reduction::kSum);
  add_row(list, 7, 10, 0, ops::Reduction::kSum, 60);
  const auto logits = [] { return Var(Tensor::zeros({2, 3})); };
  const auto labels = [](std::vector<int64_t> l) { return Tensor::from(l, {std::ssize(l)}); };
  list.reject(
      "cross_entropy", "label-out-of-range",
      [=] {
        ops::cross_entropy(logits(), labels({0, 3}));
      },
      "[0, 3)", Exit::kBadData);
  list.reject(
      "cross_entropy", "label-negative",
      [=] {
        ops::cross_entropy(logits(), labels({-1, 0}));
      },
      "[0, 3)", Exit::kBadData);
  list.reject(
      "cross_entropy", "number-of-labels", [=] { ops::cross_entropy(logits(), labels({0})); }, "labels i64");
  list.reject(
      "cross_entropy", "smoothing",
      [=] {
        ops::cross_entropy(logits(), labels({0, 1}), 1.5);
      },
      "smoothing");
  list.reject(
      "cross_entropy", "mean-of-nothing",
      [=] {
        ops::cross_entropy(Var(Tensor::zeros({0, 3})), labels({}));
      },
      "at least one row");
}

}  // namespace taut::cases
