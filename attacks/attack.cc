#include "attacks/attack.h"

#include <algorithm>
#include <cmath>

#include "attacks/attempts.h"
#include "attacks/momentum.h"
#include "attacks/multi_targeted.h"
#include "attacks/pgd.h"
#include "attacks/step.h"
#include "kernels/reduce.h"
#include "tensor/nearest.h"

namespace taut::attacks {
namespace {

AttackConfig untargeted(AttackConfig config) {
  config.targets = 0;
  if (!config.random_start) config.restarts = 1;  // they would all be the same
  return config;
}

AttackConfig without_random_start(AttackConfig config) {
  config.random_start = false;
  return untargeted(config);
}

AttackConfig no_attack(AttackConfig config) {
  config = without_random_start(config);
  config.eps = 0;
  config.steps = 0;
  return config;
}

AttackConfig towards_targets(AttackConfig config) {
  config.loss = Loss::kMargin;
  if (!config.random_start) config.restarts = 1;
  return config;
}

AttackConfig one_full_step(AttackConfig config) {
  config = without_random_start(config);
  config.steps = 1;
  config.alpha = config.eps;
  return config;
}

AttackResult run_pgd(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                     const AttackSeed& seed) {
  std::vector<Attempt> attempts;
  for (int64_t round = 0; round < config.restarts; ++round)
    attempts.push_back([&](const Tensor& part, const Tensor& its_labels, const AttackSeed& own,
                           std::span<const int64_t>) { return pgd(model, part, its_labels, config, own); });
  return strongest(x, labels, seed, attempts);
}

const Attack& attack(const std::string& name) {
  for (const Attack& a : attack_list())
    if (name == a.name) return a;
  fail(Exit::kUsage, "[attack.name] there is no attack '{}'; hint: {}", name, did_you_mean(name, attack_names()));
}

}  // namespace

Logits::Logits(std::function<Var(const Var& images)> whole, InputStage stage, std::function<std::string()> places)
    : whole_(std::move(whole)),
      stage_(std::make_shared<const InputStage>(std::move(stage))),
      places_(std::move(places)),
      step_(places_ ? std::make_shared<AttackStep>(true) : nullptr) {}

const std::vector<Attack>& attack_list() {
  static const std::vector<Attack> list = {
      {"pgd", "projected gradient descent from a random start", untargeted, run_pgd},
      {"bim", "basic iterative method: PGD from the image itself", without_random_start, run_pgd},
      {"fgsm", "fast gradient sign method: one step of the whole budget", one_full_step, run_pgd},
      {"mifgsm", "momentum iterative FGSM: PGD along an accumulated direction", without_random_start, momentum},
      {"mtpgd", "multi-targeted PGD: one PGD towards each of the likeliest other classes", towards_targets,
       multi_targeted},
      {"none", "no attack: the images as they are, where clean accuracy is all that is asked for", no_attack, run_pgd},
  };
  return list;
}

std::vector<std::string> attack_names() {
  std::vector<std::string> names;
  for (const Attack& a : attack_list()) names.emplace_back(a.name);
  return names;
}

AttackConfig resolve(AttackConfig config) {
  config = attack(config.name).settle(config);
  config.check();
  return config;
}

AttackResult run_attack(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                        const AttackSeed& seed) {
  const AttackConfig settled = resolve(config);
  return attack(settled.name).run(model, x, labels, settled, seed);
}

void AttackConfig::check() const {
  attack(name);  // throws where there is none
  TAUT_CHECK(std::isfinite(eps) && eps >= 0, "[attack.eps] expected a number >= 0, got {}", eps);
  TAUT_CHECK(std::isfinite(alpha) && alpha >= 0, "[attack.alpha] expected a number >= 0, got {}", alpha);
  TAUT_CHECK(steps >= 0 && steps <= 100000, "[attack.steps] expected 0 to 100000, got {}", steps);
  TAUT_CHECK(restarts >= 1 && restarts <= 1000, "[attack.restarts] expected 1 to 1000, got {}", restarts);
  TAUT_CHECK(targets >= 0 && targets <= 1000, "[attack.targets] expected 0 to 1000, got {}", targets);
  TAUT_CHECK(targets > 0 || name != "mtpgd", "[attack.targets] expected at least one target for mtpgd");
}

int64_t attempts_of(const AttackConfig& config) {
  const AttackConfig settled = resolve(config);
  return settled.restarts * std::max<int64_t>(1, settled.targets);
}

// Each attempt: forward and backward a step and a last forward; beside them the clean forward and the judge's two.
double attack_passes(const AttackConfig& config) {
  return static_cast<double>(attempts_of(config) * (2 * resolve(config).steps + 1) + 3);
}

Tensor argmax(const Tensor& logits) {
  TAUT_CHECK(logits.ndim() == 2 && logits.size(1) >= 1, "[argmax] expected logits (rows, classes), got {}",
             to_string(logits.shape()));
  const Tensor in = logits.contiguous();
  Tensor index = Tensor::empty({in.size(0)}, DType::kI64, in.device());
  on_float(in.dtype(), "argmax", [&]<class T>() {
    Tensor top = Tensor::empty({in.size(0)}, in.dtype(), in.device());
    ON_DEVICE(in.device(), max_dim<T>(current_stream(in.device()), in.data<T>(), top.data<T>(), index.data<int64_t>(),
                                      in.size(0), in.size(1), 1));
  });
  return index;
}

std::vector<int64_t> argmax_rows(const Tensor& logits) {
  const Tensor host = argmax(logits).to(Device{});
  const auto all = host.span<int64_t>();
  return {all.begin(), all.end()};
}

}  // namespace taut::attacks
