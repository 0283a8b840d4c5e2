// (IA)^3 (Liu et al., 2022) as AdapterHub places it: y' = (W x + b) * l, bias included, on k, v, fc1 (before GELU) and
// fc2 (before the residual); l starts as ones. Merged: W' = diag(l) W, b' = l b.
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

  std::shared_ptr<nn::Linear> merged() const override {
    const NoGrad no_grad;
    const Var l = factor();
    auto linear = std::make_shared<nn::Linear>(base_->in(), base_->out(), base_->weight.dtype());
    linear->weight.set_value(ops::mul(base_->weight, ops::reshape(l, {-1, 1})).value());
    linear->bias.set_value(ops::mul(base_->bias, l).value());
    return linear;
  }

 private:
  Var factor() const { return factors_.size() == 1 ? factors_[0] : ops::concat(factors_, 0); }

  std::shared_ptr<nn::Linear> base_;
  std::vector<Var> factors_;
};

class Ia3 : public Strategy {
 public:
  const char* name() const override { return "ia3"; }
  const char* description() const override { return "(IA)^3: vectors that scale k, v, fc1 and fc2"; }
  bool can_merge() const override { return true; }

  void apply(nn::Vit& vit, const StrategyOptions&, uint64_t) const override {
    freeze_backbone(vit);
    for (const auto& block : vit.blocks) {
      replace_layer(
          *block, Site::kQkv,
          std::make_shared<Ia3Linear>(linear_at(*block, Site::kQkv), std::vector<std::string>{"-", "key", "value"}));
      for (const Site site : {Site::kFc1, Site::kFc2})
        replace_layer(*block, site, std::make_shared<Ia3Linear>(linear_at(*block, site), std::vector<std::string>{""}));
    }
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions&) const override {
    std::vector<nn::NameEntry> map;
    const auto add = [&](const std::string& hf, const std::string& ours, int64_t out) {
      map.push_back({hf + ".loras.ia3.lora_B", ours + ".ia3", {out, 1}});
    };
    for (int64_t i = 0; i < c.depth; ++i) {
      for (const char* part : {"key", "value"})
        add(hf_layer(i) + "attention.attention." + part, block_path(i, Site::kQkv) + "." + part, c.dim);
      add(hf_layer(i) + "intermediate.dense", block_path(i, Site::kFc1), c.mlp);
      add(hf_layer(i) + "output.dense", block_path(i, Site::kFc2), c.dim);
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
