#include "attacks/momentum.h"

#include <algorithm>

#include "attacks/iterate.h"
#include "autograd/ops.h"

namespace taut::attacks {
namespace {

// Each image's gradient divided by its mean magnitude; zero where that is zero.
Tensor normalised(const Tensor& gradient) {
  const NoGrad no_grad;
  const int64_t b = gradient.size(0), n = gradient.numel() / std::max<int64_t>(b, 1);
  const Var g(gradient.reshape({b, n}));
  const Var magnitude = ops::add(ops::relu(g), ops::relu(ops::scale(g, -1)));
  const Tensor means = ops::scale(ops::sum(magnitude, 1, true), 1 / static_cast<double>(n)).value();
  // Dividing by 1 leaves a zero gradient zero.
  std::vector<double> divisors = means.to_doubles();
  for (double& d : divisors)
    if (d == 0) d = 1;
  const Var divisor(Tensor::from(divisors, {b, 1}).to(gradient.dtype()).to(gradient.device()));
  return ops::div(g, divisor).value().reshape(gradient.shape());
}

}  // namespace

AttackResult momentum(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                      const AttackSeed& seed) {
  Tensor direction = Tensor::zeros(x.shape(), x.dtype(), x.device());
  const auto accumulate = [&](const Tensor& gradient) {
    direction = ops::add(Var(direction), Var(normalised(gradient))).value();
    return direction;
  };
  return iterate(model, x, labels, config, start_point(x, config, seed), accumulate, objective_of(config.loss));
}

}  // namespace taut::attacks
