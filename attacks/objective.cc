#include "attacks/objective.h"

#include <algorithm>

#include "autograd/ops.h"

namespace taut::attacks {
namespace {

// z_t - z_y as a sum of products: its gradient is exactly +1 and -1.
Var difference(const Var& logits, const Tensor& labels, const std::vector<int64_t>& targets) {
  const int64_t b = logits.size(0), classes = logits.size(1);
  TAUT_CHECK(static_cast<int64_t>(targets.size()) == b, "[attack] expected a target for each of {} images, got {}", b,
             targets.size());
  std::vector<double> signs(static_cast<size_t>(b * classes));
  const Tensor known = labels.to(Device{});
  for (int64_t i = 0; i < b; ++i) {
    const int64_t label = known.data<int64_t>()[i], target = targets[static_cast<size_t>(i)];
    TAUT_CHECK(target >= 0 && target < classes, "[attack] expected a target in [0, {}), got {}", classes, target);
    signs[static_cast<size_t>(i * classes + target)] += 1;
    signs[static_cast<size_t>(i * classes + label)] -= 1;
  }
  const Tensor factors = Tensor::from(signs, {b, classes}).to(logits.dtype()).to(logits.value().device());
  return ops::sum(ops::mul(logits, Var(factors)), 1);
}

Var margin(const Var& logits, const Tensor& labels) {
  std::vector<int64_t> nearest;
  for (const auto& others : rivals(logits.value(), labels)) nearest.push_back(others.front());
  return difference(logits, labels, nearest);
}

}  // namespace

Objective objective_of(Loss loss) {
  if (loss == Loss::kMargin) return margin;
  return [](const Var& logits, const Tensor& labels) {
    return ops::cross_entropy(logits, labels, 0, ops::Reduction::kNone);
  };
}

Objective margin_to(std::vector<int64_t> targets) {
  return [targets = std::move(targets)](const Var& logits, const Tensor& labels) {
    return difference(logits, labels, targets);
  };
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
