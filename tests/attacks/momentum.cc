// MI-FGSM: its direction by hand on a linear model, an image without a gradient, the budget.
#include "attacks/momentum.h"

#include <doctest/doctest.h>

#include <cmath>

#include "attacks/norm_ball.h"
#include "autograd/ops.h"

namespace taut::attacks {

TEST_CASE("momentum adds each image's gradient over its mean magnitude, and a zero gradient moves nothing") {
  // z = (w x, 0): the gradient of the cross-entropy points along w or is zero where w is.
  const Var w(Tensor::from(std::vector<double>{1, -3, 0, 0, 0, 0, 0, 0}, {2, 4}));
  const Logits model = [&](const Var& images) { return ops::linear(ops::reshape(images, {images.size(0), 4}), w); };
  const Tensor x = Tensor::full({2, 1, 1, 4}, 0.5, DType::kF64), y = Tensor::zeros({2}, DType::kI64);
  AttackConfig config;
  config.name = "mifgsm";
  config.norm = Norm::kL2;  // the step keeps the direction's proportions
  config.eps = 0.4;
  config.alpha = 0.1;
  config.steps = 3;
  const AttackResult r = run_attack(model, x, y, config, {1, 0, {0, 1}});
  // Every normalised gradient is (-1/2, 3/2, 0, 0) times a positive number: three steps of 0.1 along one line.
  const double length = std::sqrt(10.0);
  const std::vector<double> adv = r.adversarial.to_doubles();
  CHECK(adv[0] == doctest::Approx(0.5 - 0.3 / length));
  CHECK(adv[1] == doctest::Approx(0.5 + 0.9 / length));
  CHECK(adv[2] == 0.5);
  CHECK(r.losses.back()[0] > r.losses.front()[0]);

  const Var blind(Tensor::zeros({2, 4}, DType::kF64));
  const Logits constant = [&](const Var& images) {
    return ops::linear(ops::reshape(images, {images.size(0), 4}), blind);
  };
  const AttackResult still = run_attack(constant, x, y, config, {1, 0, {0, 1}});
  CHECK(same_bytes(still.adversarial, x));
  CHECK(still.zero_gradient == std::vector<uint8_t>{1, 1});
}

TEST_CASE("momentum stays in the ball") {
  const Var w(Tensor::from(std::vector<double>{1, -3, 2, 0.1, 0, 0, 0, 0}, {2, 4}));
  const Logits model = [&](const Var& images) { return ops::linear(ops::reshape(images, {images.size(0), 4}), w); };
  const Tensor x = Tensor::full({1, 1, 1, 4}, 0.5, DType::kF64);
  AttackConfig config;
  config.name = "mifgsm";
  config.eps = 0.05;
  config.alpha = 0.02;
  config.steps = 10;
  const AttackResult r = run_attack(model, x, Tensor::zeros({1}, DType::kI64), config, {1, 0, {0}});
  CHECK(distances(x, r.adversarial, Norm::kLinf)[0] == doctest::Approx(0.05));
}

}  // namespace taut::attacks
