#include "attacks/pgd.h"

#include "attacks/iterate.h"

namespace taut::attacks {

AttackResult pgd(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                 const AttackSeed& seed, const Tensor& start) {
  const bool moves = config.eps > 0 && config.steps > 0;
  const Tensor adv = start.defined() && moves ? start.clone() : start_point(x, config, seed);
  return iterate(model, x, labels, config, adv, objective_of(config.loss));
}

}  // namespace taut::attacks
