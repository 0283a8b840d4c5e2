#include "finetune/bottleneck.h"

#include "autograd/ops.h"
#include "nn/branch_end.h"

namespace taut::finetune {
namespace {

// A layer and a bottleneck after it.
class WithBottleneck : public nn::Layer {
 public:
  WithBottleneck(std::shared_ptr<nn::Layer> base, std::shared_ptr<Bottleneck> bottleneck)
      : base_(add_child("", std::move(base))), bottleneck_(add_child("adapter", std::move(bottleneck))) {}

  Var forward(const Var& x) override { return bottleneck_->forward(base_->forward(x)); }

 private:
  std::shared_ptr<nn::Layer> base_;
  std::shared_ptr<Bottleneck> bottleneck_;
};

// Another form of it.
class WithFormedBottleneck : public nn::BranchEnd {
 public:
  WithFormedBottleneck(std::shared_ptr<nn::Layer> base, std::shared_ptr<Bottleneck> bottleneck, BottleneckForm form)
      : base_(add_child("", std::move(base))), bottleneck_(add_child("adapter", std::move(bottleneck))), form_(form) {}

  Var forward(const Var&) override {
    fail(Exit::kUsage, "[adapter] expected the stream that this layer reads, got none");
  }

  Var forward_beside(const Var& x, const Var& stream) override {
    using Input = BottleneckForm::Input;
    const Var a = base_->forward(x);
    const Var in = form_.input == Input::kBranch ? a : form_.input == Input::kSum ? ops::add(stream, a) : stream;
    return bottleneck_->up(bottleneck_->down(in, form_.activation), a);
  }

 private:
  std::shared_ptr<nn::Layer> base_;
  std::shared_ptr<Bottleneck> bottleneck_;
  BottleneckForm form_;
};

}  // namespace

std::vector<BottleneckForm> all_forms() {
  using Activation = BottleneckForm::Activation;
  using Input = BottleneckForm::Input;
  std::vector<BottleneckForm> all;
  for (const Activation activation : {Activation::kGelu, Activation::kRelu, Activation::kSilu})
    for (const Input input : {Input::kBranch, Input::kSum, Input::kStream}) all.push_back({activation, input});
  return all;
}

Var activated(const Var& x, BottleneckForm::Activation activation) {
  switch (activation) {
    case BottleneckForm::Activation::kGelu: return ops::gelu_erf(x);
    case BottleneckForm::Activation::kRelu: return ops::relu(x);
    case BottleneckForm::Activation::kSilu: return ops::silu(x);
  }
  return x;
}

void add_bottlenecks(nn::Model& model, const char* strategy, const BottleneckForm& form,
                     const std::function<std::shared_ptr<Bottleneck>(int64_t dim, const std::string& path)>& make) {
  using Kind = nn::LayerSlot::Kind;
  const bool is_plain = form == BottleneckForm{};
  bool any = false;
  for (const nn::LayerSlot& slot : model.slots()) {
    const bool after_layer = slot.kind == Kind::kProj || slot.kind == Kind::kFc2;
    if (!after_layer && slot.kind != Kind::kBranchEnd) continue;
    any = true;
    TAUT_CHECK(after_layer || is_plain, "[{}] this form of a bottleneck is defined for transformers alone", strategy);
    const auto base = after_layer ? linear_at(slot) : nullptr;
    TAUT_CHECK(after_layer || slot.layer == nullptr, "[{}] a strategy was applied at {} already", strategy, slot.path);
    auto bottleneck = make(slot.out, after_layer ? slot.path + ".adapter" : slot.path);
    bottleneck->set_requires_grad(true);
    if (after_layer && is_plain)
      slot.replace(std::make_shared<WithBottleneck>(base, std::move(bottleneck)));
    else if (after_layer)
      slot.replace(std::make_shared<WithFormedBottleneck>(base, std::move(bottleneck), form));
    else
      slot.replace(std::move(bottleneck));
  }
  TAUT_CHECK(any, "[model.strategy] '{}' goes after the branches of residual blocks, and this model has none; hint: {}",
             strategy, "lora, ia3 or bitfit");
}

int64_t bottleneck_size(int64_t dim, const StrategyOptions& options, int64_t default_reduction) {
  const int64_t reduction = options.reduction > 0 ? options.reduction : default_reduction;
  const int64_t size = options.bottleneck > 0 ? options.bottleneck : dim / reduction;
  TAUT_CHECK(size >= 1, "[peft.reduction] expected at most the model's width {}, got {}", dim, reduction);
  return size;
}

std::vector<BottleneckPath> bottleneck_paths(const nn::VitConfig& config) {
  std::vector<BottleneckPath> paths;
  for (int64_t i = 0; i < config.depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    paths.push_back({block + "attn.proj.adapter", hf_layer(i) + "attention_adapters.adapters."});
    paths.push_back({block + "mlp.fc2.adapter", hf_layer(i) + "output.output_adapters.adapters."});
  }
  return paths;
}

}  // namespace taut::finetune
