// The loop that iterative attacks share: evaluate, take the image gradient, step and project, judge the last iterate.
#pragma once

#include "attacks/step.h"

namespace taut::attacks {

// The point an attack starts from: x itself, or a random point of the ball where the config asks for one.
Tensor start_point(const Tensor& x, const AttackConfig& config, const AttackSeed& seed);

// Runs config.steps steps from `adv` up the objective. Every iterate, the start and the last included, is judged, and
// its cross-entropy recorded whatever the objective.
AttackResult iterate(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                     const Tensor& adv, const Objective& objective, const Direction& direction = {});

}  // namespace taut::attacks
