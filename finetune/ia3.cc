// (IA)^3 (Liu et al., 2022): y' = (W x + b) * l, bias included; l starts as ones. Merged: W' = diag(l) W, b' = l b.
//
// ViT, as AdapterHub places it: k, v, fc1 (before GELU) and fc2 (before the residual). Convolutional nets: the output
// channels of every convolution and hidden linear layer, as peft scales layers that are no feed-forward ones.
#include "autograd/ops.h"
#include "finetune/sites.h"
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class Vector : public nn::Module {
 public:
  Vector(int64_t size, DType dtype) : l(add_parameter("ia3", Tensor::full({size}, 1, dtype))) {}
  Var& l;
};

class Ia3Linear : public nn::Layer, public Mergeable {
 public:
  // One vector for each name, over as many equal blocks of the base's outputs; "-" leaves its block alone, "" is
  // transparent.
  Ia3Linear(std::shared_ptr<nn::Linear> base, const std::vector<std::string>& names)
      : base_(add_child("", std::move(base))) {
    const int64_t size = base_->out() / static_cast<int64_t>(names.size());
    const DType dtype = base_->weight.dtype();
    for (const std::string& name : names) {
      if (name == "-") {
        factors_.push_back(Var(Tensor::full({size}, 1, dtype)));
        continue;
      }
      const auto vector = add_child(name, std::make_shared<Vector>(size, dtype));
      vector->set_requires_grad(true);
      factors_.push_back(vector->l);
    }
  }

  Var forward(const Var& x) override { return ops::mul(base_->forward(x), factor()); }

  Folded folded() const override {
    const NoGrad no_grad;
    const Var l = factor();
    return {ops::mul(whole(base_->weight), ops::reshape(l, {-1, 1})).value(), ops::mul(base_->bias, l).value()};
  }

 private:
  Var factor() const {
    if (factors_.size() == 1) return factors_[0];
    // The ones are no parameters: they follow the base to its device.
    const Device device = base_->weight.value().device();
    std::vector<Var> all = factors_;
    for (Var& f : all)
      if (f.value().device() != device) f = Var(Tensor::full(f.shape(), 1, f.dtype(), device));
    return ops::concat(all, 0);
  }

  std::shared_ptr<nn::Linear> base_;
  std::vector<Var> factors_;
};

class Ia3Conv : public nn::Layer, public Mergeable {
 public:
  explicit Ia3Conv(std::shared_ptr<nn::Conv> base)
      : base_(add_child("", std::move(base))),
        vector_(add_child("", std::make_shared<Vector>(base_->out(), base_->weight.dtype()))) {
    vector_->set_requires_grad(true);
  }

  Var forward(const Var& x) override { return ops::mul(base_->forward(x), vector_->l); }

  Folded folded() const override {
    const NoGrad no_grad;
    const Var& l = vector_->l;
    return {ops::mul(whole(base_->weight), ops::reshape(l, {-1, 1, 1, 1})).value(),
            base_->bias.defined() ? ops::mul(base_->bias, l).value() : Tensor()};
  }

 private:
  std::shared_ptr<nn::Conv> base_;
  std::shared_ptr<Vector> vector_;
};

class Ia3 : public Strategy {
 public:
  const char* name() const override { return "ia3"; }
  const char* description() const override {
    return "(IA)^3: vectors that scale k, v, fc1 and fc2, or the outputs of convolutions";
  }
  bool can_merge() const override { return true; }

  bool adds_layers() const override { return true; }

  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override {
    using Kind = nn::LayerSlot::Kind;
    using Names = std::vector<std::string>;
    freeze_backbone(model);
    for (const nn::LayerSlot& slot : model.slots()) {
      switch (slot.kind) {
        case Kind::kQkv: slot.replace(std::make_shared<Ia3Linear>(linear_at(slot), Names{"-", "key", "value"})); break;
        case Kind::kFc1:
        case Kind::kFc2:
        case Kind::kLinear: slot.replace(std::make_shared<Ia3Linear>(linear_at(slot), Names{""})); break;
        case Kind::kConv: slot.replace(std::make_shared<Ia3Conv>(conv_at(slot))); break;
        case Kind::kProj:
        case Kind::kBranchEnd: break;
      }
    }
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions&) const override {
    std::vector<nn::NameEntry> map;
    const auto add = [&](const std::string& hf, const std::string& ours, int64_t out) {
      map.push_back({hf + ".loras.ia3.lora_B", ours + ".ia3", {out, 1}});
    };
    for (int64_t i = 0; i < c.depth; ++i) {
      const std::string block = "blocks." + std::to_string(i) + ".";
      for (const char* part : {"key", "value"})
        add(hf_layer(i) + "attention.attention." + part, block + "attn.qkv." + part, c.dim);
      add(hf_layer(i) + "intermediate.dense", block + "mlp.fc1", c.mlp);
      add(hf_layer(i) + "output.dense", block + "mlp.fc2", c.dim);
    }
    return map;
  }
};

}  // namespace

const Strategy& ia3() {
  static const Ia3 strategy;
  return strategy;
}

}  // namespace taut::finetune
