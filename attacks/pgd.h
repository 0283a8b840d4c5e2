// Projected gradient descent (Madry et al., 2018), its ancestors BIM (Kurakin et al., 2017) and FGSM (Goodfellow et
// al., 2015), for L-infinity and L2 balls.
//
//   adv_0 = clip(x + U(-eps, eps), 0, 1) or x;   g = d CE(z(adv), y) / d adv
//   Linf: adv = clip(x + clip(adv + alpha sign(g) - x, -eps, eps), 0, 1), sign(0) = 0
//   L2:   adv += alpha g / (|g| + 1e-10);  delta *= min(1, eps / max(|delta|, 1e-12));  clip to [0, 1]
#pragma once

#include "attacks/attack.h"

namespace taut::attacks {

// Attacks a batch. x (b, c, h, w) in [0, 1], labels (b) i64. steps = 0 or eps = 0 return x bit for bit. `start`, if
// defined, replaces the random start (golden cases).
AttackResult pgd(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                 const AttackSeed& seed, const Tensor& start = {});

// The config of an attack by name: "pgd" as given; "bim": no random start; "fgsm": one step of alpha = eps, no random
// start.
AttackConfig resolve(AttackConfig config);

}  // namespace taut::attacks
