#include "attacks/step.h"

#include <fmt/format.h>

#include <algorithm>

#include "attacks/norm_ball.h"
#include "autograd/engine.h"
#include "autograd/ops.h"
#include "kernels/pgd.h"

namespace taut::attacks {
namespace {

// Elements of each image's part of the gradient that are exactly zero.
void count_zeros_of(const Tensor& gradient, Tensor& zeros) {
  const int64_t samples = gradient.size(0), n = gradient.numel() / std::max<int64_t>(samples, 1);
  on_stored(gradient.dtype(), "attack", [&]<class T>() {
    ON_DEVICE(gradient.device(),
              count_zeros<T>(current_stream(gradient.device()), gradient.data<T>(), zeros.data<int64_t>(), samples, n));
  });
}

// The gradient of the sum over the images of what is ascended: of each image its own, unscaled.
Tensor gradient_of(const Var& ascended, const Var& input) {
  const Tensor ones = Tensor::full(ascended.shape(), 1, ascended.dtype(), ascended.value().device());
  const Tensor g = gradients({ascended}, {ones}, {input}, true)[0];
  TAUT_CHECK(g.defined(), "[attack] the logits do not depend on the images");
  return g.contiguous();
}

bool fits(const Tensor& memory, const Shape& shape, DType dtype, Device device) {
  return memory.defined() && memory.shape() == shape && memory.dtype() == dtype && memory.device() == device;
}

void check_labels(const Tensor& labels, int64_t classes) {
  for (const int64_t label : labels.span<int64_t>())
    if (label < 0 || label >= classes)
      fail(Exit::kBadData, "[attack] expected labels in [0, {}), got {}", classes, label);
}

}  // namespace

Verdicts::Verdicts(const Shape& shape, DType dtype, Device device)
    : predicted(Tensor::empty(shape, DType::kI64, device)),
      losses(Tensor::empty(shape, dtype, device)),
      zeros(Tensor::zeros(shape, DType::kI64, device)) {}

void judge(const Tensor& logits, const Tensor& labels, Verdicts& verdicts) {
  const NoGrad no_grad;
  verdicts.predicted.copy_from(argmax(logits));
  verdicts.losses.copy_from(ops::cross_entropy(Var(logits), labels, 0, ops::Reduction::kNone).value());
}

// The end of the backward pass, the step and the model's first op as one kernel.
bool AttackStep::is_fused(const StepRule& rule) const {
  return rule.model.stage() != nullptr && !rule.direction.follow && rule.config.norm == Norm::kLinf;
}

void AttackStep::put(const Tensor& from, Tensor& there) const {
  if (!kept_)
    there = from;
  else if (fits(there, from.shape(), from.dtype(), from.device()))
    there.copy_from(from);
  else
    there = from.clone();
}

std::string AttackStep::key_of(const StepRule& rule) const {
  std::string key = rule.model.places();
  for (const Tensor* t : {&x_, &labels_, &adv_, &patches_, &direction_, &verdicts_->losses})
    if (t->defined()) append_place(key, *t);
  return key + fmt::format("{}, {}, {}, {:a}, {:a}", rule.objective.name, rule.direction.name,
                           static_cast<int>(rule.config.norm), rule.config.alpha, rule.config.eps);
}

void AttackStep::begin(const StepRule& rule, const Tensor& x, const Tensor& labels, const Tensor& adv) {
  if (repeated_ == nullptr || device_ != x.device()) repeated_ = std::make_unique<RepeatedStep>(x.device());
  device_ = x.device();
  put(x, x_);
  put(labels, labels_);
  put(adv, adv_);
  if (is_fused(rule))
    put(ops::patchify(Var(adv), rule.model.stage()->patches).value(), patches_);
  else
    patches_ = Tensor();
  if (rule.direction.follow)
    put(Tensor::zeros(x.shape(), x.dtype(), device_), direction_);
  else
    direction_ = Tensor();
  const Shape images = {x.size(0)};
  if (!verdicts_ || !fits(verdicts_->losses, images, x.dtype(), device_)) verdicts_.emplace(images, x.dtype(), device_);
  std::string key = key_of(rule);
  if (key != key_) {
    key_ = std::move(key);
    classes_ = 0;
  } else if (classes_ > 0) {
    learn_labels(rule.objective);
  }
}

// What a step needs of its labels beside themselves: that each is a class, and the objective's table.
void AttackStep::learn_labels(const Objective& objective) {
  const Tensor labels = labels_.to(Device{}).contiguous();
  check_labels(labels, classes_);
  if (objective.table) put(objective.table(labels, classes_).to(logits_).to(device_), table_);
}

void AttackStep::take(const StepRule& rule) {
  repeated_->run(key_, [&] { run(rule); });
}

void AttackStep::run(const StepRule& rule) {
  const bool fused = is_fused(rule);
  const Var input(fused ? patches_ : adv_, true);
  const Var logits = fused ? rule.model.stage()->logits(input, x_.shape()) : rule.model(input);
  if (classes_ == 0) {  // the first step, which is called
    const OutsideGraph stays(device_);
    classes_ = logits.size(1);
    logits_ = logits.dtype();
    learn_labels(rule.objective);
  }
  judge(logits.value(), labels_, *verdicts_);
  const Tensor g = gradient_of(rule.objective.value(logits, labels_, table_), input);
  count_zeros_of(g, verdicts_->zeros);
  if (fused) return move_patches(rule, g);
  if (rule.direction.follow) rule.direction.follow(g, direction_);
  ascend(x_, rule.direction.follow ? direction_ : g, adv_, rule.config);
}

void AttackStep::move_patches(const StepRule& rule, const Tensor& gradient) {
  const ops::ImagePatches& how = rule.model.stage()->patches;
  const PatchShape shape{x_.size(0), x_.size(1), x_.size(2), x_.size(3), how.patch};
  const Tensor mean = ops::constant(how.mean, x_.dtype(), device_), std = ops::constant(how.std, x_.dtype(), device_);
  on_stored(patches_.dtype(), "attack", [&]<class T>() {
    using R = Real<T>;
    ON_DEVICE(device_, pgd_step_patches<T>(current_stream(device_), x_.data<R>(), gradient.data<T>(), mean.data<R>(),
                                           std.data<R>(), adv_.data<R>(), patches_.data<T>(), shape,
                                           static_cast<R>(rule.config.alpha), static_cast<R>(rule.config.eps)));
  });
  adv_.bump_version();
  patches_.bump_version();
}

}  // namespace taut::attacks
