// MI-FGSM (Dong et al., 2018): PGD along an accumulated direction, m = mu m + g / mean|g| per image, from the image
// itself. An image whose gradient is all zero keeps its direction.
#pragma once

#include "attacks/attack.h"

namespace taut::attacks {

// mu = 1.
AttackResult momentum(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                      const AttackSeed& seed);

}  // namespace taut::attacks
