#include "attacks/multi_targeted.h"

#include <algorithm>

#include "attacks/attempts.h"
#include "attacks/iterate.h"
#include "attacks/objective.h"

namespace taut::attacks {

AttackResult multi_targeted(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                            const AttackSeed& seed) {
  std::vector<std::vector<int64_t>> order;
  int64_t targets = config.targets;
  if (x.size(0) > 0) {
    const NoGrad no_grad;
    order = rivals(model(Var(x)).value(), labels);
    targets = std::min(targets, static_cast<int64_t>(order.front().size()));
  }
  std::vector<Attempt> attempts;
  for (int64_t round = 0; round < config.restarts; ++round)
    for (int64_t t = 0; t < targets; ++t)
      attempts.push_back([&, t](const Tensor& part, const Tensor& its_labels, const AttackSeed& own,
                                std::span<const int64_t> rows) {
        std::vector<int64_t> towards;
        for (const int64_t row : rows) towards.push_back(order[static_cast<size_t>(row)][static_cast<size_t>(t)]);
        return iterate(model, part, its_labels, config, start_point(part, config, own), margin_to(std::move(towards)));
      });
  return strongest(x, labels, seed, attempts);
}

}  // namespace taut::attacks
