// Attacks and the evaluation harness: budget, range, identities, known answers, refusals.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "attacks/evaluate.h"
#include "attacks/norm_ball.h"
#include "attacks/pgd.h"
#include "autograd/ops.h"
#include "kernels/parallel.h"
#include "tests/small_vit.h"

namespace taut::attacks {
namespace {

using testing::random_images;
using testing::random_labels;
using testing::random_vit;
using testing::small_config;

struct Fixture {
  nn::VitConfig config = small_config();
  std::shared_ptr<nn::Vit> vit = random_vit(config, 1);
  Tensor x = random_images(config, 12, 2), y = random_labels(12, config.classes, 3);
  Logits model = [v = vit](const Var& images) { return v->forward(images); };
  AttackSeed seed{7, 0, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  Batches batches = [this](int64_t begin, int64_t count) {
    Batch b{x.slice(0, begin, count).clone(), y.slice(0, begin, count).clone(), {}};
    for (int64_t i = 0; i < count; ++i) b.ids.push_back(begin + i);
    return b;
  };
};

AttackConfig strong() {
  AttackConfig c;
  c.eps = 8.0 / 255;
  c.alpha = 2.0 / 255;
  c.steps = 10;
  return c;
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

}  // namespace

TEST_CASE("every iterate stays in the ball and in [0, 1], the loss rises, the same seed gives the same bytes") {
  Fixture f;
  for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
    AttackConfig c = strong();
    c.norm = norm;
    if (norm == Norm::kL2) {
      c.eps = 0.5;
      c.alpha = 0.1;
    }
    const AttackResult a = pgd(f.model, f.x, f.y, c, f.seed);
    for (const double d : distances(f.x, a.adversarial, norm)) {
      CHECK(d <= c.eps + 1e-6);
      CHECK(d > 0.5 * c.eps);
    }
    for (const double v : a.adversarial.to_doubles()) CHECK((v >= 0 && v <= 1));
    CHECK(mean(a.losses.back()) > mean(a.losses.front()));
    CHECK(a.losses.size() == 11);
    set_num_threads(1);
    const AttackResult b = pgd(f.model, f.x, f.y, c, f.seed);
    set_num_threads(3);
    const AttackResult again = pgd(f.model, f.x, f.y, c, f.seed);
    set_num_threads(2);
    CHECK(same_bytes(a.adversarial, b.adversarial));
    CHECK(same_bytes(a.adversarial, again.adversarial));
  }
}

TEST_CASE("an attack that knows the model's first op gives the bytes of one that does not") {
  Fixture f;
  f.config.mean = {0.48, 0.45, 0.41};  // means, deviations and channels that cannot stand for each other
  f.config.std = {0.23, 0.21, 0.27};
  f.vit = random_vit(f.config, 1);
  f.model = [v = f.vit](const Var& images) { return v->forward(images); };
  const auto of_patches = [v = f.vit](const Var& p, const Shape& images) { return v->forward_of(p, images); };
  const Logits staged([v = f.vit](const Var& images) { return v->forward(images); }, {f.vit->input(), of_patches});
  for (const char* name : {"pgd", "bim", "mtpgd", "mifgsm"}) {
    for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
      CAPTURE(name);
      AttackConfig c = strong();
      c.name = name;
      c.norm = norm;
      c.targets = 2;
      const AttackResult a = run_attack(f.model, f.x, f.y, c, f.seed), b = run_attack(staged, f.x, f.y, c, f.seed);
      CHECK(same_bytes(a.adversarial, b.adversarial));
      CHECK(same_bytes(a.logits, b.logits));
      CHECK(a.losses == b.losses);
      CHECK(a.correct == b.correct);
      CHECK(a.zero_pixels == b.zero_pixels);
    }
  }
}

TEST_CASE("an image's attack does not depend on the batch it is in") {
  Fixture f;
  const AttackResult whole = pgd(f.model, f.x, f.y, strong(), f.seed);
  const AttackResult part = pgd(f.model, f.x.slice(0, 4, 3).clone(), f.y.slice(0, 4, 3).clone(), strong(),
                                {f.seed.seed, f.seed.step, {4, 5, 6}});
  CHECK(same_bytes(whole.adversarial.slice(0, 4, 3).clone(), part.adversarial));
}

TEST_CASE("eps = 0 and steps = 0 return the images bit for bit") {
  Fixture f;
  for (const bool no_eps : {true, false}) {
    AttackConfig c = strong();
    if (no_eps)
      c.eps = 0;
    else
      c.steps = 0;
    CHECK(same_bytes(pgd(f.model, f.x, f.y, c, f.seed).adversarial, f.x));
  }
}

TEST_CASE("no attack is an attack by name: the images as they are, whatever the settings, for four forward passes") {
  Fixture f;
  AttackConfig none = strong();
  none.name = "none";
  none.restarts = 3;
  CHECK(same_bytes(run_attack(f.model, f.x, f.y, none, f.seed).adversarial, f.x));
  CHECK(attack_passes(none) == 4);
}

TEST_CASE("FGSM is one signed step, BIM has no random start, PGD is stronger than FGSM") {
  Fixture f;
  AttackConfig fgsm = strong(), bim = strong();
  fgsm.name = "fgsm";
  bim.name = "bim";
  const AttackResult one = run_attack(f.model, f.x, f.y, fgsm, f.seed),
                     many = run_attack(f.model, f.x, f.y, bim, f.seed);
  CHECK(one.losses.size() == 2);
  const std::vector<double> x = f.x.to_doubles(), adv = one.adversarial.to_doubles();
  for (size_t i = 0; i < x.size(); ++i) {
    const double up = std::min(1.0, x[i] + fgsm.eps), down = std::max(0.0, x[i] - fgsm.eps);
    CHECK(std::min({std::abs(adv[i] - up), std::abs(adv[i] - down), std::abs(adv[i] - x[i])}) < 1e-6);
  }
  CHECK(same_bytes(one.logits, f.model(Var(one.adversarial)).value()));
  CHECK(one.losses.front() == many.losses.front());  // both start at the clean image
  CHECK(mean(many.losses.back()) >= mean(one.losses.back()));
}

TEST_CASE("a linear model is broken exactly where its margin is at most eps |w|_1") {
  // Two classes, z = (w x, 0): label 0 is right while w x > 0; the worst Linf step lowers w x by eps |w|_1.
  const int64_t n = 6;
  std::vector<double> w = {0.5, -1, 0.25, 2, -0.75, 0};
  double l1 = 0;
  for (const double v : w) l1 += std::abs(v);
  std::vector<double> two = w;
  two.resize(2 * n, 0);
  const Var weight(Tensor::from(two, {2, n}));
  const Logits model = [&](const Var& images) {
    return ops::linear(ops::reshape(images, {images.size(0), n}), weight);
  };
  Tensor x = Tensor::full({40, 1, 1, n}, 0.5, DType::kF64);
  for (int64_t i = 0; i < 40; ++i) x.data<double>()[i * n + 3] = 0.25 + 0.0123 * static_cast<double>(i);
  const Tensor y = Tensor::zeros({40}, DType::kI64);
  AttackConfig c = strong();
  c.eps = 0.05;
  c.alpha = 0.02;
  c.steps = 20;
  AttackSeed seed{1, 0, {}};
  for (int64_t i = 0; i < 40; ++i) seed.ids.push_back(i);
  const AttackResult r = pgd(model, x, y, c, seed);
  int64_t broken = 0, right = 0;
  for (int64_t i = 0; i < 40; ++i) {
    double margin = 0;
    for (int64_t j = 0; j < n; ++j) margin += w[static_cast<size_t>(j)] * x.data<double>()[i * n + j];
    if (margin <= 0) continue;
    const bool survives = r.correct.back()[static_cast<size_t>(i)] != 0;
    if (std::abs(margin - c.eps * l1) > 1e-9) CHECK(survives == (margin > c.eps * l1));
    (survives ? right : broken) += 1;
  }
  CHECK(broken > 3);
  CHECK(right > 3);
}

TEST_CASE("sign(0) = 0: pixels the model does not read stay where they start") {
  const Logits blind = [](const Var& images) {
    const Var half = ops::slice(ops::reshape(images, {images.size(0), 8}), 1, 0, 4);
    return ops::linear(half, Var(Tensor::from(std::vector<float>{1, 1, 1, 1, -1, -1, -1, -1}, {2, 4})));
  };
  AttackConfig c = strong();
  c.name = "bim";
  const Tensor x = Tensor::full({1, 1, 2, 4}, 0.5);
  const AttackResult r = run_attack(blind, x, Tensor::zeros({1}, DType::kI64), c, {1, 0, {0}});
  const std::vector<double> adv = r.adversarial.to_doubles();
  for (size_t i = 0; i < 8; ++i) CHECK((adv[i] == 0.5) == (i >= 4));
  CHECK(2 * r.zero_pixels == r.judged_pixels);
}

TEST_CASE("the harness: counts, per-image flags, checks, threads and batches do not matter") {
  Fixture f;
  const auto judge = random_vit(f.config, 1);
  const Subject subject{f.model, [&](const Var& v) { return judge->forward(v); }, false, f.config.classes, {}};
  EvaluateOptions options;
  options.n = 12;
  options.batch = 5;
  options.keep_images = 2;
  options.seed = 7;
  const RobustResult a = evaluate_robust(subject, f.batches, strong(), options);
  options.batch = 12;
  const RobustResult b = evaluate_robust(subject, f.batches, strong(), options);
  CHECK(a.last_ok == b.last_ok);
  CHECK(a.best_ok == b.best_ok);
  CHECK(a.robust_best_correct <= a.robust_last_correct);
  CHECK(a.robust_best_correct <= a.clean_correct);
  CHECK(a.clean_correct == evaluate_clean(subject, f.batches, options).top1_correct);
  CHECK(a.tally.max_perturbation <= strong().eps + 1e-6);
  CHECK(a.kept_clean.size() == 2);
  CHECK(a.tally.mean_loss_adv() > a.tally.mean_loss_clean());
  AttackConfig none = strong();
  none.eps = 0;
  const RobustResult unchanged = evaluate_robust(subject, f.batches, none, options);
  CHECK(unchanged.robust_last_correct == unchanged.clean_correct);
  CHECK(unchanged.tally.max_perturbation == 0);
}

TEST_CASE(
    "the harness refuses: training mode, a judge that disagrees, pixels outside [0, 1], probabilities, bad labels") {
  Fixture f;
  EvaluateOptions options;
  options.n = 12;
  const Subject good{f.model, f.model, false, f.config.classes, {}};
  const auto run = [&](const Subject& s, const Batches& b) { evaluate_robust(s, b, strong(), options); };

  Subject training = good;
  training.training = true;
  CHECK_THROWS_WITH_AS(run(training, f.batches), doctest::Contains("training mode"), Error);
  CHECK_THROWS_WITH_AS(evaluate_clean(training, f.batches, options), doctest::Contains("training mode"), Error);

  Subject other = good;
  const auto stranger = random_vit(f.config, 99);
  other.judge = [&](const Var& v) { return stranger->forward(v); };
  CHECK_THROWS_WITH_AS(run(other, f.batches), doctest::Contains("re-judge"), Error);

  const Batches bright = [&](int64_t begin, int64_t count) {
    Batch b = f.batches(begin, count);
    b.images.data<float>()[5] = 1.5F;
    return b;
  };
  CHECK_THROWS_WITH_AS(run(good, bright), doctest::Contains("[0, 1]"), Error);

  Subject probabilities = good;
  probabilities.attacked = [&](const Var& v) { return ops::softmax(f.model(v)); };
  CHECK_THROWS_WITH_AS(run(probabilities, f.batches), doctest::Contains("probabilities"), Error);

  const Batches mislabelled = [&](int64_t begin, int64_t count) {
    Batch b = f.batches(begin, count);
    b.labels.data<int64_t>()[0] = 5000;
    return b;
  };
  CHECK_THROWS_WITH_AS(run(good, mislabelled), doctest::Contains("5000"), Error);

  AttackConfig negative = strong();
  negative.eps = -1;
  CHECK_THROWS_WITH_AS(evaluate_robust(good, f.batches, negative, options), doctest::Contains("attack.eps"), Error);
}

TEST_CASE("Wilson's interval") {
  const Interval i = binomial_interval(20, 100);
  CHECK(i.low == doctest::Approx(0.1334).epsilon(1e-3));
  CHECK(i.high == doctest::Approx(0.2888).epsilon(1e-3));
  CHECK(binomial_interval(0, 50).low == 0);
  CHECK(binomial_interval(50, 50).high == doctest::Approx(1));
}

}  // namespace taut::attacks
