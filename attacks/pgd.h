// Projected gradient descent (Madry et al., 2018), its ancestors BIM (Kurakin et al., 2017) and FGSM (Goodfellow et
// al., 2015), for L-infinity and L2 balls.
//
//   adv_0 = clip(x + U(-eps, eps), 0, 1) or x;   g = d loss(z(adv), y) / d adv, cross-entropy unless config.loss
//   Linf: adv = clip(x + clip(adv + alpha sign(g) - x, -eps, eps), 0, 1), sign(0) = 0
//   L2:   adv += alpha g / (|g| + 1e-10);  delta *= min(1, eps / max(|delta|, 1e-12));  clip to [0, 1]
#pragma once

#include "attacks/attack.h"

namespace taut::attacks {

// One attempt. `start`, if defined, replaces the random start.
AttackResult pgd(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                 const AttackSeed& seed, const Tensor& start = {});

}  // namespace taut::attacks
