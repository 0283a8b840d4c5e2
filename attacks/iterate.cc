#include "attacks/iterate.h"

#include "attacks/norm_ball.h"
#include "autograd/ops.h"

namespace taut::attacks {
namespace {

// Of all iterates, a row each.
void keep(const Verdicts& one, int64_t row, Verdicts& all) {
  all.predicted.slice(0, row, 1).copy_from(one.predicted.reshape({1, -1}));
  all.losses.slice(0, row, 1).copy_from(one.losses.reshape({1, -1}));
  all.zeros.slice(0, row, 1).copy_from(one.zeros.reshape({1, -1}));
}

// The record of all iterates, on the host.
void read(const Verdicts& all, const Tensor& labels, int64_t pixels, AttackResult& result) {
  const Tensor predicted = all.predicted.to(Device{}), zeros = all.zeros.to(Device{}), wanted = labels.to(Device{});
  const std::vector<double> losses = all.losses.to_doubles();
  const int64_t iterates = predicted.size(0), b = predicted.size(1);
  for (int64_t k = 0; k < iterates; ++k) {
    std::vector<uint8_t> correct(static_cast<size_t>(b));
    for (int64_t i = 0; i < b; ++i) {
      const auto at = static_cast<size_t>(i);
      correct[at] = predicted.data<int64_t>()[k * b + i] == wanted.data<int64_t>()[i];
      const int64_t here = zeros.data<int64_t>()[k * b + i];
      result.zero_pixels += here;
      if (k + 1 < iterates && here == pixels) result.zero_gradient[at] = 1;
    }
    result.correct.push_back(std::move(correct));
    result.losses.emplace_back(losses.begin() + k * b, losses.begin() + (k + 1) * b);
  }
  result.judged_pixels += (iterates - 1) * b * pixels;
}

}  // namespace

Tensor start_point(const Tensor& x, const AttackConfig& config, const AttackSeed& seed) {
  const bool moves = config.eps > 0 && config.steps > 0;
  return moves && config.random_start ? random_start(x, config, seed) : x.clone();
}

AttackResult iterate(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config,
                     const Tensor& adv, const Objective& objective, const Direction& direction) {
  TAUT_CHECK(x.defined() && x.ndim() == 4 && x.is_contiguous(), "[attack] expected images (b, c, h, w), got {}",
             x.defined() ? to_string(x.shape()) : "none");
  TAUT_CHECK(labels.defined() && labels.dtype() == DType::kI64 && labels.shape() == Shape{x.size(0)},
             "[attack] expected labels i64 of shape ({}), got {}", x.size(0), to_string(labels, 0));
  TAUT_CHECK(adv.shape() == x.shape() && adv.dtype() == x.dtype(), "[attack] expected a start {}, got {}",
             to_string(x.shape()), to_string(adv.shape()));
  AttackResult result;
  const int64_t b = x.size(0), steps = config.eps > 0 ? config.steps : 0;
  result.zero_gradient.assign(static_cast<size_t>(b), 0);
  result.adversarial = adv;
  Verdicts all({steps + 1, b}, x.dtype(), x.device()), last({b}, x.dtype(), x.device());
  if (steps > 0) {
    const bool kept = model.kept_step() != nullptr && x.device().kind != DeviceKind::kCpu;
    AttackStep own(false);
    AttackStep& step = kept ? *model.kept_step() : own;
    const StepRule rule{model, config, objective, direction};
    step.begin(rule, x, labels, adv);
    for (int64_t k = 0; k < steps; ++k) {
      step.take(rule);
      keep(step.verdicts(), k, all);
    }
    result.adversarial = kept ? step.adversarial().clone() : step.adversarial();
  }
  const NoGrad no_grad;
  const Var logits = model(Var(result.adversarial));
  judge(logits.value(), labels, last);
  keep(last, steps, all);
  read(all, labels, b > 0 ? x.numel() / b : 0, result);
  result.logits = logits.value();
  return result;
}

}  // namespace taut::attacks
