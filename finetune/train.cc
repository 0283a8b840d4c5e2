#include "finetune/train.h"

#include <algorithm>
#include <cmath>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/nonfinite.h"
#include "finetune/sites.h"
#include "kernels/device_memory.h"

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

void check_labels(const Tensor& labels, int64_t classes) {
  const Tensor known = labels.to(Device{});
  for (const int64_t label : known.span<int64_t>())
    if (label < 0 || label >= classes)
      fail(Exit::kBadData, "[train] expected labels in [0, {}), got {}", classes, label);
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
  return update(&nn::Model::forward, images, labels);
}

StepResult Trainer::step_on_features(const Tensor& features, const Tensor& labels) {
  for (const nn::NamedParameter& p : optimizer_.parameters())
    TAUT_CHECK(model_->is_head(p.path), "[train] features do not change only while the head alone trains, got '{}'",
               p.path);
  return update(&nn::Model::classify, features, labels);
}

// Loss, gradients and their sum of squares of the batch in input_ and labels_.
void Trainer::differentiate(Net net) {
  std::vector<Var> wanted;
  for (const nn::NamedParameter& p : optimizer_.parameters()) wanted.push_back(p.var);
  // A frozen backbone under a head that trains stays what it was, batch norms included.
  model_->set_training(!head_only_);
  const Var loss = ops::cross_entropy((*model_.*net)(Var(input_)), labels_, options_.label_smoothing);
  model_->set_training(false);
  loss_ = loss.value();
  grads_ = gradients(loss, wanted);
  for (Tensor& g : grads_)
    if (g.defined()) g = g.contiguous();
  squares_ = nn::sum_of_squares(grads_);
}

void Trainer::prefetch(const Tensor& input, const Tensor& labels) {
  const Device device = model_->device();
  if (device.kind == DeviceKind::kCpu) return;
  Ahead& to = ahead_[turn_ ^= 1];
  const auto send = [&](const Tensor& from, Tensor& there) {
    const Tensor dense = from.contiguous();
    if (!there.defined() || there.shape() != from.shape()) there = Tensor::empty(from.shape(), from.dtype(), device);
    copy_ahead(there.raw(), device, dense.raw(), static_cast<size_t>(dense.bytes()));
  };
  send(input, to.input);
  send(labels, to.labels);
  to.source = input;
}

// The batch into input_ and labels_: on a GPU always into the same memory, from where prefetch put it if it did.
void Trainer::bring(const Tensor& input, const Tensor& labels) {
  const Device device = model_->device();
  if (device.kind == DeviceKind::kCpu) {
    input_ = input;
    labels_ = labels;
    return;
  }
  if (!input_.defined() || input_.shape() != input.shape()) {
    input_ = Tensor::empty(input.shape(), input.dtype(), device);
    labels_ = Tensor::empty(labels.shape(), labels.dtype(), device);
  }
  for (Ahead& a : ahead_) {
    if (!a.source.shares_memory_with(input) || a.input.shape() != input.shape()) continue;
    await_copies_ahead(device);
    a.source = Tensor();
    input_.copy_from(a.input);
    labels_.copy_from(a.labels);
    return;
  }
  input_.copy_from(input);
  labels_.copy_from(labels);
}

void Trainer::fail_on_loss(Net net, double loss) {
  model_->set_training(!head_only_);
  std::string first = first_nonfinite(*model_, [&] { return (*model_.*net)(Var(input_)); });
  model_->set_training(false);
  if (first.empty()) first = "the logits are finite, their cross-entropy is not";
  fail(Exit::kNumeric, "[train] update {}: the loss is {}; {}; hint: lower train.lr", steps() + 1, loss, first);
}

StepResult Trainer::update(Net net, const Tensor& input, const Tensor& labels) {
  StepResult result;
  const Device device = model_->device();
  const bool on_gpu = device.kind != DeviceKind::kCpu;
  if (on_gpu) {
    check_labels(labels, model_->config().classes);  // a replay does not
    if (repeated_ == nullptr) repeated_ = std::make_unique<RepeatedStep>(device);
  }
  bring(input, labels);
  if (on_gpu) {
    // A tensor that was replaced makes it another step.
    std::string key = (net == &nn::Model::forward ? "forward " : "classify ") + model_->places();
    append_place(key, input_);
    append_place(key, labels_);
    repeated_->run(key, [&] { differentiate(net); });
  } else {
    differentiate(net);
  }
  result.loss = loss_.item();
  if (!std::isfinite(result.loss)) fail_on_loss(net, result.loss);
  result.gradient_norm = std::sqrt(squares_.item());
  if (!std::isfinite(result.gradient_norm)) {
    for (size_t i = grads_.size(); i-- > 0;)  // backward comes from the end, so that the last one was the first
      if (const int64_t bad = count_nonfinite_elements(grads_[i]); bad > 0)
        fail(Exit::kNumeric, "[train] update {}: the gradient of '{}' has {} non-finite elements; hint: lower train.lr",
             steps() + 1, optimizer_.parameters()[i].path, bad);
    fail(Exit::kNumeric, "[train] update {}: the gradient's norm overflows; hint: lower train.lr", steps() + 1);
  }
  const double scale = options_.clip > 0 ? nn::clip_factor(result.gradient_norm, options_.clip) : 1;
  result.lr = options_.lr * options_.schedule.factor(steps() + 1);
  optimizer_.step(grads_, result.lr, scale);
  if (!on_gpu) {  // nothing of the batch stays
    input_ = labels_ = loss_ = squares_ = Tensor();
    grads_.clear();
  }
  return result;
}

RepeatedStep::Counts Trainer::counts() const {
  return repeated_ == nullptr ? RepeatedStep::Counts{} : repeated_->counts();
}

void Trainer::load_state(const std::map<std::string, Tensor>& state, int64_t steps, const std::string& file) {
  optimizer_.load_state(state, steps, file);
}

}  // namespace taut::finetune
