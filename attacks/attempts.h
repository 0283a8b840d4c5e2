// Several attempts on a batch: restarts, targets. An image whose last iterate is misclassified is left alone by the
// attempts that follow; of attempts that all failed, the one with the highest cross-entropy counts.
#pragma once

#include <functional>
#include <span>

#include "attacks/attack.h"

namespace taut::attacks {

// Attacks the images x (b, c, h, w) that are left; rows[i] is the place of image i in the whole batch.
using Attempt = std::function<AttackResult(const Tensor& x, const Tensor& labels, const AttackSeed& seed,
                                           std::span<const int64_t> rows)>;

// Attempt k gets seed.attempt = k. An iterate counts as correct where it was in every attempt.
AttackResult strongest(const Tensor& x, const Tensor& labels, const AttackSeed& seed,
                       const std::vector<Attempt>& attempts);

}  // namespace taut::attacks
