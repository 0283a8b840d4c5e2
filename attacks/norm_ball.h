// Balls around images: random starts, steps with projection, distances. Thin over kernels/pgd.h.
#pragma once

#include "attacks/attack.h"

namespace taut::attacks {

// A random point of the ball around x, clipped to [0, 1]: Linf uniform in the cube; L2 a Gaussian direction with a
// radius uniform in [0, eps) (as torchattacks draws it).
Tensor random_start(const Tensor& x, const AttackConfig& config, const AttackSeed& seed);
// One ascent step from `adv` along the gradient g, projected; in place.
void ascend(const Tensor& x, const Tensor& g, Tensor& adv, const AttackConfig& config);
// Distance of each image in the norm, as double.
std::vector<double> distances(const Tensor& x, const Tensor& adv, Norm norm);

}  // namespace taut::attacks
