// Multi-targeted PGD (Gowal et al., 2019): one PGD towards each of the classes whose clean logits come next after the
// label's, maximising z_t - z_y. Stronger than one untargeted PGD where the loss surface hides some classes.
#pragma once

#include "attacks/attack.h"

namespace taut::attacks {

// config.targets attempts in each of config.restarts rounds, at most classes - 1 targets.
AttackResult multi_targeted(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                            const AttackSeed& seed);

}  // namespace taut::attacks
