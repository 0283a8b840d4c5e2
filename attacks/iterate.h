// The loop that iterative attacks share: evaluate, take the image gradient, step and project, judge the last iterate.
#pragma once

#include "attacks/attack.h"
#include "attacks/objective.h"

namespace taut::attacks {

// The point an attack starts from: x itself, or a random point of the ball where the config asks for one.
Tensor start_point(const Tensor& x, const AttackConfig& config, const AttackSeed& seed);

// Turns the gradient of an iterate into what is ascended; it may keep state. Empty: the gradient itself.
using Direction = std::function<Tensor(const Tensor& gradient)>;

// Whether every step enqueues the same work on the same memory, so that a GPU may replay it (kernels/graph.h): not
// where direction or objective keep state or look at numbers on the host.
enum class Steps { kAlike, kOwn };

// Runs config.steps steps from `adv`, in place, up the objective. Every iterate, the start and the last included, is
// judged, and its cross-entropy recorded whatever the objective.
AttackResult iterate(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config, Tensor adv,
                     const Direction& direction, const Objective& objective, Steps kind = Steps::kOwn);

}  // namespace taut::attacks
