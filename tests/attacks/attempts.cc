// Restarts, the margin and several targets: exact answers on linear models, attempts that find what one misses.
#include "attacks/attempts.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "attacks/norm_ball.h"
#include "attacks/objective.h"
#include "autograd/engine.h"
#include "autograd/ops.h"
#include "tensor/random.h"

namespace taut::attacks {
namespace {

constexpr int64_t kClasses = 6, kPixels = 8, kImages = 60;

struct Linear {
  std::vector<double> w;  // (classes, pixels)
  Tensor x = Tensor::empty({kImages, 1, 2, 4}, DType::kF64);
  Tensor y;
  AttackSeed seed{5, 0, {}};

  Linear() {
    Random random(3, Purpose::kTest);
    for (int64_t i = 0; i < kClasses * kPixels; ++i) w.push_back(random.uniform(-1, 1));
    for (int64_t i = 0; i < kImages * kPixels; ++i) x.data<double>()[i] = random.uniform(0.3, 0.7);
    y = Tensor::from(argmax_rows(logits(Var(x)).value()), {kImages});
    for (int64_t i = 0; i < kImages; ++i) seed.ids.push_back(i);
  }
  Var logits(const Var& images) const {
    return ops::linear(ops::reshape(images, {images.size(0), kPixels}), Var(Tensor::from(w, {kClasses, kPixels})));
  }
  Logits model() const {
    return [this](const Var& images) { return logits(images); };
  }
  // Whether a perturbation of at most eps takes image i to another class: its margin to t falls by eps |w_t - w_y|_1.
  bool breakable(int64_t i, double eps) const {
    const int64_t label = y.data<int64_t>()[i];
    for (int64_t t = 0; t < kClasses; ++t) {
      double margin = 0, l1 = 0;
      for (int64_t j = 0; j < kPixels; ++j) {
        const double d = w[static_cast<size_t>(t * kPixels + j)] - w[static_cast<size_t>(label * kPixels + j)];
        margin -= d * x.data<double>()[i * kPixels + j];
        l1 += std::abs(d);
      }
      if (t != label && margin < eps * l1) return true;
    }
    return false;
  }
};

AttackConfig config_of(const char* name) {
  AttackConfig c;
  c.name = name;
  c.eps = 0.03;
  c.alpha = 0.01;
  c.steps = 20;
  return c;
}

Var value_of(const Objective& objective, const Var& z, const Tensor& y) {
  return objective.value(z, y, objective.table ? objective.table(y, z.size(1)).to(z.dtype()) : Tensor());
}

int64_t survivors(const AttackResult& r) { return std::count(r.correct.back().begin(), r.correct.back().end(), 1); }

}  // namespace

TEST_CASE("the margin is the best other logit less the label's, and its gradient is one and minus one") {
  const Var z(Tensor::from(std::vector<double>{1, 4, 3, /**/ 2, 2, -1, /**/ 3, 5, 5}, {3, 3}), true);
  const Tensor y = Tensor::from(std::vector<int64_t>{2, 0, 0}, {3});
  const Var m = value_of(objective_of(Loss::kMargin), z, y);
  CHECK(m.value().to_doubles() == std::vector<double>{1, 0, 2});
  const Tensor g = gradients({m}, {Tensor::full({3}, 1, DType::kF64)}, {z}, true)[0];
  CHECK(g.to_doubles() == std::vector<double>{0, 1, -1, -1, 1, 0, -1, 1, 0});  // of equals the first
  CHECK(rivals(z.value(), y) == std::vector<std::vector<int64_t>>{{1, 0}, {1, 2}, {1, 2}});
  CHECK(value_of(margin_to({0, 2, 2}), z, y).value().to_doubles() == std::vector<double>{-2, -3, 2});
  CHECK_THROWS_AS(value_of(margin_to({0, 3, 1}), z, y), Error);
  CHECK_THROWS_AS(value_of(margin_to({0}), z, y), Error);
}

TEST_CASE("multi-targeted PGD breaks exactly the images of a linear model that can be broken") {
  const Linear linear;
  AttackConfig c = config_of("mtpgd");
  c.targets = 100;  // as many as there are
  const AttackResult r = run_attack(linear.model(), linear.x, linear.y, c, linear.seed);
  int64_t broken = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    CHECK((r.correct.back()[static_cast<size_t>(i)] == 0) == linear.breakable(i, c.eps));
    broken += linear.breakable(i, c.eps);
  }
  CHECK((broken > 5 && broken < kImages - 5));
  // The images that are handed back are the ones the verdicts are about.
  const std::vector<int64_t> predicted = argmax_rows(linear.logits(Var(r.adversarial)).value());
  for (int64_t i = 0; i < kImages; ++i)
    CHECK((predicted[static_cast<size_t>(i)] == linear.y.data<int64_t>()[i]) ==
          (r.correct.back()[static_cast<size_t>(i)] != 0));
  for (const double d : distances(linear.x, r.adversarial, Norm::kLinf)) CHECK(d <= c.eps + 1e-12);
  // Fewer targets break no more, one margin PGD no more than all.
  c.targets = 1;
  CHECK(survivors(run_attack(linear.model(), linear.x, linear.y, c, linear.seed)) >= survivors(r));
  AttackConfig margin = config_of("pgd");
  margin.loss = Loss::kMargin;
  CHECK(survivors(run_attack(linear.model(), linear.x, linear.y, margin, linear.seed)) >= survivors(r));
}

TEST_CASE("restarts find what a start out of reach of any gradient misses, and leave broken images alone") {
  // Flat but for the last tenth of the ball: only a start there sees a gradient.
  const Logits flat = [](const Var& images) {
    const Var p = ops::reshape(images, {images.size(0), 1});
    const Var other = ops::scale(ops::relu(ops::add(p, Var(Tensor::full({1}, -0.54, DType::kF64)))), 1000);
    return ops::concat({Var(Tensor::full({images.size(0), 1}, 5, DType::kF64)), other}, 1);
  };
  const int64_t n = 40;
  const Tensor x = Tensor::full({n, 1, 1, 1}, 0.5, DType::kF64), y = Tensor::zeros({n}, DType::kI64);
  AttackSeed seed{1, 0, {}};
  for (int64_t i = 0; i < n; ++i) seed.ids.push_back(i);
  AttackConfig c = config_of("pgd");
  c.eps = 0.05;
  const AttackResult once = run_attack(flat, x, y, c, seed);
  c.restarts = 8;
  const AttackResult often = run_attack(flat, x, y, c, seed);
  CHECK(survivors(once) > n / 2);
  CHECK(survivors(often) < survivors(once));
  CHECK(survivors(often) > 0);
  for (int64_t i = 0; i < n; ++i) {
    if (once.correct.back()[static_cast<size_t>(i)] != 0) continue;
    CHECK(same_bytes(often.adversarial.slice(0, i, 1).clone(), once.adversarial.slice(0, i, 1).clone()));
  }
  // An image's attempts do not depend on the batch it is in.
  const AttackResult tail = run_attack(flat, x.slice(0, 30, 10).clone(), y.slice(0, 30, 10).clone(), c,
                                       {1, 0, {seed.ids.begin() + 30, seed.ids.end()}});
  CHECK(same_bytes(tail.adversarial, often.adversarial.slice(0, 30, 10).clone()));
  // From the image itself every attempt would be the same.
  c.name = "bim";
  CHECK(attempts_of(c) == 1);
  c.name = "mtpgd";
  c.targets = 3;
  CHECK(attempts_of(c) == 24);
  c.restarts = 0;
  CHECK_THROWS_AS(resolve(c), Error);
}

}  // namespace taut::attacks
