#include "finetune/train.h"

#include <algorithm>
#include <cmath>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/nonfinite.h"
#include "finetune/sites.h"

namespace taut::finetune {
namespace {

std::vector<nn::NamedParameter> trainable(const nn::Model& model) {
  std::vector<nn::NamedParameter> list;
  for (nn::NamedParameter& p : model.parameters())
    if (p.var.requires_grad()) list.push_back(std::move(p));
  return list;
}

std::vector<bool> decay_flags(const std::vector<nn::NamedParameter>& parameters, Mode mode) {
  std::vector<bool> flags;
  for (const nn::NamedParameter& p : parameters) flags.push_back(decays(p.path, mode));
  return flags;
}

nn::AdamW make_optimizer(const nn::Model& model, const TrainOptions& options) {
  std::vector<nn::NamedParameter> parameters = trainable(model);
  TAUT_CHECK(!parameters.empty(), "[train] the model has no trainable parameter");
  std::vector<bool> flags = decay_flags(parameters, options.mode);
  return nn::AdamW(std::move(parameters), std::move(flags), {.weight_decay = options.weight_decay});
}

}  // namespace

bool decays(const std::string& path, Mode mode) {
  if (is_norm_parameter(path) || path.ends_with("bias")) return false;
  if (mode == Mode::kOfficial) return true;
  return !path.ends_with(".b") && !path.ends_with(".ia3");
}

Trainer::Trainer(std::shared_ptr<nn::Model> model, TrainOptions options)
    : model_(std::move(model)), options_(options), optimizer_(make_optimizer(*model_, options_)) {
  const auto& list = optimizer_.parameters();
  head_only_ = std::all_of(list.begin(), list.end(), [&](const auto& p) { return model_->is_head(p.path); });
}

StepResult Trainer::step(const Tensor& images, const Tensor& labels) {
  return update([&] { return model_->forward(Var(images)); }, labels);
}

StepResult Trainer::step_on_features(const Tensor& features, const Tensor& labels) {
  for (const nn::NamedParameter& p : optimizer_.parameters())
    TAUT_CHECK(model_->is_head(p.path), "[train] features do not change only while the head alone trains, got '{}'",
               p.path);
  return update([&] { return model_->classify(Var(features)); }, labels);
}

StepResult Trainer::update(const std::function<Var()>& logits, const Tensor& labels) {
  StepResult result;
  std::vector<Var> wanted;
  for (const nn::NamedParameter& p : optimizer_.parameters()) wanted.push_back(p.var);
  // A frozen backbone under a head that trains stays what it was, batch norms included.
  model_->set_training(!head_only_);
  Var loss = ops::cross_entropy(logits(), labels, options_.label_smoothing);
  model_->set_training(false);
  result.loss = loss.value().item();
  if (!std::isfinite(result.loss)) {
    model_->set_training(!head_only_);
    std::string first = first_nonfinite(*model_, logits);
    if (first.empty()) first = "the logits are finite, their cross-entropy is not";
    fail(Exit::kNumeric, "[train] update {}: the loss is {}; {}; hint: lower train.lr", steps() + 1, result.loss,
         first);
  }
  std::vector<Tensor> grads = gradients(loss, wanted);
  loss = Var();  // the graph goes before the update
  result.gradient_norm = nn::global_norm(grads);
  if (!std::isfinite(result.gradient_norm)) {
    for (size_t i = grads.size(); i-- > 0;)  // backward comes from the end, so that the last one was the first
      if (const int64_t bad = count_nonfinite_elements(grads[i]); bad > 0)
        fail(Exit::kNumeric, "[train] update {}: the gradient of '{}' has {} non-finite elements; hint: lower train.lr",
             steps() + 1, optimizer_.parameters()[i].path, bad);
    fail(Exit::kNumeric, "[train] update {}: the gradient's norm overflows; hint: lower train.lr", steps() + 1);
  }
  if (options_.clip > 0) nn::clip_by_global_norm(grads, result.gradient_norm, options_.clip);
  result.lr = options_.lr * options_.schedule.factor(steps() + 1);
  optimizer_.step(grads, result.lr);
  return result;
}

void Trainer::load_state(const std::map<std::string, Tensor>& state, int64_t steps, const std::string& file) {
  optimizer_.load_state(state, steps, file);
}

}  // namespace taut::finetune
