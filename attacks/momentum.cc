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
  const Var ones(Tensor::full({b, 1}, 1, means.dtype(), means.device()));
  const Var is_zero = ops::sub(ones, Var(means.to(DType::kBool).to(means.dtype())));
  return ops::div(g, ops::add(Var(means), is_zero)).value().reshape(gradient.shape());
}

void accumulate(const Tensor& gradient, Tensor& direction) {
  const NoGrad no_grad;
  direction.copy_from(ops::add(Var(direction), Var(normalised(gradient))).value());
}

}  // namespace

AttackResult momentum(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                      const AttackSeed& seed) {
  return iterate(model, x, labels, config, start_point(x, config, seed), objective_of(config.loss),
                 {"momentum", accumulate});
}

}  // namespace taut::attacks
