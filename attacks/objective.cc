#include "attacks/objective.h"

#include <algorithm>

#include "autograd/ops.h"

namespace taut::attacks {
namespace {

// Adds `value` in the column of each image's class.
void add_at(const std::vector<int64_t>& column, double value, Tensor& table) {
  const int64_t b = table.size(0), classes = table.size(1);
  TAUT_CHECK(static_cast<int64_t>(column.size()) == b, "[attack] expected a target for each of {} images, got {}", b,
             column.size());
  for (int64_t i = 0; i < b; ++i) {
    const int64_t at = column[static_cast<size_t>(i)];
    TAUT_CHECK(at >= 0 && at < classes, "[attack] expected a target in [0, {}), got {}", classes, at);
    table.data<double>()[i * classes + at] += value;
  }
}

// Factors that pick numbers out of logits: 1 or -1 for the labels, and the opposite for the targets if there are any.
Tensor picked(const Tensor& labels, int64_t classes, double of_label, const std::vector<int64_t>* targets = nullptr) {
  TAUT_CHECK(classes >= 2, "[attack] a margin needs at least two classes, got {}", classes);
  Tensor table = Tensor::zeros({labels.size(0), classes}, DType::kF64);
  const auto known = labels.span<int64_t>();
  add_at({known.begin(), known.end()}, of_label, table);
  if (targets != nullptr) add_at(*targets, -of_label, table);
  return table;
}

// A sum of products: the gradient is the factors, exactly.
Var weighted(const Var& logits, const Tensor& factors) { return ops::sum(ops::mul(logits, Var(factors)), 1); }

// `own` is 1 for the label and 0 else.
Var margin(const Var& logits, const Tensor&, const Tensor& own) {
  constexpr double kFar = 1e38;  // takes a label's logit below all others
  const int64_t b = logits.size(0), classes = logits.size(1);
  const Var others = ops::sub(logits, Var(ops::scale(Var(own), kFar).value()));
  // Of equal logits the gradient goes to the first.
  const Var best = ops::max_pool(ops::reshape(others, {b, classes, 1, 1}), {classes, 1});
  return ops::sub(ops::reshape(best, {b}), weighted(logits, own));
}

}  // namespace

Objective objective_of(Loss loss) {
  if (loss == Loss::kMargin)
    return {"margin", [](const Tensor& labels, int64_t classes) { return picked(labels, classes, 1); }, margin};
  return {"cross-entropy", nullptr, [](const Var& logits, const Tensor& labels, const Tensor&) {
            return ops::cross_entropy(logits, labels, 0, ops::Reduction::kNone);
          }};
}

Objective margin_to(std::vector<int64_t> targets) {
  return {"margin to a target",
          [targets = std::move(targets)](const Tensor& labels, int64_t classes) {
            return picked(labels, classes, -1, &targets);
          },
          [](const Var& logits, const Tensor&, const Tensor& factors) { return weighted(logits, factors); }};
}

std::vector<std::vector<int64_t>> rivals(const Tensor& logits, const Tensor& labels) {
  const std::vector<double> z = logits.to_doubles();
  const int64_t classes = logits.size(1);
  const Tensor known = labels.to(Device{});
  TAUT_CHECK(classes >= 2, "[attack] a margin needs at least two classes, got {}", classes);
  std::vector<std::vector<int64_t>> all;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    std::vector<int64_t> others;
    for (int64_t j = 0; j < classes; ++j)
      if (j != known.data<int64_t>()[i]) others.push_back(j);
    std::ranges::stable_sort(others, std::greater{},
                             [&](int64_t j) { return z[static_cast<size_t>(i * classes + j)]; });
    all.push_back(std::move(others));
  }
  return all;
}

}  // namespace taut::attacks
