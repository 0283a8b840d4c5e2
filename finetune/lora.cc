// LoRA (Hu et al., 2021): y = W x + b + (alpha / r) B (A x), A (r, in), B (out, r). A ~ U(+-1/sqrt(in)), B = 0: the
// identity at the start. Merged: W' = W + (alpha / r) B A.
//
// ViT: q, k, v, fc1 (before GELU) and fc2 (before the residual); the attention's output projection is not adapted.
// Convolutional nets: every convolution and hidden linear layer, as peft does: A is a convolution in -> r with the
// kernel, stride, padding and dilation of the adapted one, B a 1x1 convolution r -> out.
#include <cmath>

#include "autograd/ops.h"
#include "finetune/sites.h"
#include "finetune/strategies.h"
#include "nn/init.h"

namespace taut::finetune {
namespace {

// One low-rank pair, as a module so that it has a name of its own.
class Pair : public nn::Module {
 public:
  Pair(int64_t in, int64_t out, int64_t rank, DType dtype)
      : a(add_parameter("lora_A", Tensor::zeros({rank, in}, dtype))),
        b(add_parameter("lora_B", Tensor::zeros({out, rank}, dtype))) {}
  Var& a;
  Var& b;
};

class LoraLinear : public nn::Layer, public Mergeable {
 public:
  // One pair for each name; the base's rows are cut into as many equal blocks. An empty name is transparent in paths.
  LoraLinear(std::shared_ptr<nn::Linear> base, const std::vector<std::string>& names, const StrategyOptions& options,
             const std::string& path, uint64_t seed)
      : base_(add_child("", std::move(base))), scale_(options.alpha / static_cast<double>(options.rank)) {
    const int64_t in = base_->in(), out = base_->out() / static_cast<int64_t>(names.size());
    for (const std::string& name : names) {
      pairs_.push_back(add_child(name, std::make_shared<Pair>(in, out, options.rank, base_->weight.dtype())));
      Tensor a = pairs_.back()->a.value();
      nn::fill_uniform(a, 1 / std::sqrt(static_cast<double>(in)), seed, path + "." + name + ".lora_A");
      pairs_.back()->set_requires_grad(true);
    }
  }

  Var forward(const Var& x) override {
    std::vector<Var> a, b;
    for (const auto& p : pairs_) {
      a.push_back(p->a);
      b.push_back(p->b);
    }
    return ops::low_rank(x, base_->weight, base_->bias, a, b, scale_, precision());
  }

  Folded folded() const override {
    const NoGrad no_grad;
    std::vector<Var> deltas;
    for (const auto& p : pairs_) deltas.push_back(ops::scale(ops::matmul(p->b, p->a), scale_));
    return {ops::add(whole(base_->weight), ops::concat(deltas, 0)).value(), base_->bias.value()};
  }

 private:
  std::shared_ptr<nn::Linear> base_;
  std::vector<std::shared_ptr<Pair>> pairs_;
  double scale_;
};

class LoraConv : public nn::Layer, public Mergeable {
 public:
  LoraConv(std::shared_ptr<nn::Conv> base, const StrategyOptions& options, const std::string& path, uint64_t seed)
      : base_(add_child("", std::move(base))),
        a_(add_parameter("lora_A", Tensor::zeros({options.rank, base_->in(), base_->kernel().h, base_->kernel().w},
                                                 base_->weight.dtype()))),
        b_(add_parameter("lora_B", Tensor::zeros({base_->out(), options.rank, 1, 1}, base_->weight.dtype()))),
        scale_(options.alpha / static_cast<double>(options.rank)) {
    TAUT_CHECK(base_->how().groups == 1, "[lora] expected a convolution without groups at {}, got {} groups", path,
               base_->how().groups);
    Tensor a = a_.value();
    nn::fill_uniform(a, 1 / std::sqrt(static_cast<double>(a.numel() / options.rank)), seed, path + ".lora_A");
    a_.set_requires_grad(true);
    b_.set_requires_grad(true);
  }

  // Over channels that lie next to each other a 1x1 convolution is a linear layer.
  Var forward(const Var& x) override {
    const Var u = ops::scale(ops::conv2d(x, a_, {}, base_->how()), scale_);
    return ops::linear(u, ops::reshape(b_, {b_.size(0), b_.size(1)}), {}, base_->forward(x), precision());
  }

  Folded folded() const override {
    const NoGrad no_grad;
    const int64_t rank = a_.size(0);
    const Var delta = ops::matmul(ops::reshape(b_, {-1, rank}), ops::reshape(a_, {rank, -1}));
    const Var weight = ops::add(whole(base_->weight), ops::scale(ops::reshape(delta, base_->weight.shape()), scale_));
    return {weight.value(), base_->bias.defined() ? base_->bias.value() : Tensor()};
  }

 private:
  std::shared_ptr<nn::Conv> base_;
  Var& a_;
  Var& b_;
  double scale_;
};

class Lora : public Strategy {
 public:
  const char* name() const override { return "lora"; }
  const char* description() const override {
    return "LoRA: low-rank updates of q, k, v, fc1 and fc2, or of convolutions";
  }
  bool can_merge() const override { return true; }

  bool adds_layers() const override { return true; }

  void apply(nn::Model& model, const StrategyOptions& options, uint64_t seed) const override {
    using Kind = nn::LayerSlot::Kind;
    TAUT_CHECK(options.rank >= 1, "[peft.rank] expected a rank >= 1, got {}", options.rank);
    freeze_backbone(model);
    for (const nn::LayerSlot& slot : model.slots()) {
      if (slot.kind == Kind::kProj || slot.kind == Kind::kBranchEnd) continue;
      if (slot.kind == Kind::kConv) {
        slot.replace(std::make_shared<LoraConv>(conv_at(slot), options, slot.path, seed));
        continue;
      }
      const std::vector<std::string> names =
          slot.kind == Kind::kQkv ? std::vector<std::string>{"query", "key", "value"} : std::vector<std::string>{""};
      slot.replace(std::make_shared<LoraLinear>(linear_at(slot), names, options, slot.path, seed));
    }
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions& options) const override {
    std::vector<nn::NameEntry> map;
    const auto add = [&](const std::string& hf, const std::string& ours, int64_t in, int64_t out) {
      map.push_back({hf + ".loras.lora.lora_A", ours + ".lora_A", {options.rank, in}});
      map.push_back({hf + ".loras.lora.lora_B", ours + ".lora_B", {out, options.rank}});
    };
    for (int64_t i = 0; i < c.depth; ++i) {
      const std::string block = "blocks." + std::to_string(i) + ".";
      for (const char* part : {"query", "key", "value"})
        add(hf_layer(i) + "attention.attention." + part, block + "attn.qkv." + part, c.dim, c.dim);
      add(hf_layer(i) + "intermediate.dense", block + "mlp.fc1", c.dim, c.mlp);
      add(hf_layer(i) + "output.dense", block + "mlp.fc2", c.mlp, c.dim);
    }
    return map;
  }
};

}  // namespace

const Strategy& lora() {
  static const Lora strategy;
  return strategy;
}

}  // namespace taut::finetune
