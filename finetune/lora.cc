// LoRA (Hu et al., 2021) on q, k, v, fc1 and fc2: y = W x + b + (alpha / r) B (A x), A (r, in), B (out, r).
//
// A ~ U(+-1/sqrt(in)), B = 0: the identity at the start. Before GELU on fc1, before the residual on fc2; the
// attention's output projection is not adapted. Merged: W' = W + (alpha / r) B A.
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
    return ops::low_rank(x, base_->weight, base_->bias, a, b, scale_);
  }

  std::shared_ptr<nn::Linear> merged() const override {
    const NoGrad no_grad;
    std::vector<Var> deltas;
    for (const auto& p : pairs_) deltas.push_back(ops::scale(ops::matmul(p->b, p->a), scale_));
    auto linear = std::make_shared<nn::Linear>(base_->in(), base_->out(), base_->weight.dtype());
    linear->weight.set_value(ops::add(base_->weight, ops::concat(deltas, 0)).value());
    linear->bias.set_value(base_->bias.value());
    return linear;
  }

 private:
  std::shared_ptr<nn::Linear> base_;
  std::vector<std::shared_ptr<Pair>> pairs_;
  double scale_;
};

class Lora : public Strategy {
 public:
  const char* name() const override { return "lora"; }
  const char* description() const override { return "LoRA: low-rank updates of q, k, v, fc1 and fc2"; }
  bool can_merge() const override { return true; }

  void apply(nn::Vit& vit, const StrategyOptions& options, uint64_t seed) const override {
    TAUT_CHECK(options.rank >= 1, "[peft.rank] expected a rank >= 1, got {}", options.rank);
    freeze_backbone(vit);
    for (size_t i = 0; i < vit.blocks.size(); ++i) {
      for (const Site site : {Site::kQkv, Site::kFc1, Site::kFc2}) {
        const std::vector<std::string> names =
            site == Site::kQkv ? std::vector<std::string>{"query", "key", "value"} : std::vector<std::string>{""};
        nn::Block& block = *vit.blocks[i];
        replace_layer(block, site,
                      std::make_shared<LoraLinear>(linear_at(block, site), names, options,
                                                   block_path(static_cast<int64_t>(i), site), seed));
      }
    }
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions& options) const override {
    std::vector<nn::NameEntry> map;
    const auto add = [&](const std::string& hf, const std::string& ours, int64_t in, int64_t out) {
      map.push_back({hf + ".loras.lora.lora_A", ours + ".lora_A", {options.rank, in}});
      map.push_back({hf + ".loras.lora.lora_B", ours + ".lora_B", {out, options.rank}});
    };
    for (int64_t i = 0; i < c.depth; ++i) {
      for (const char* part : {"query", "key", "value"})
        add(hf_layer(i) + "attention.attention." + part, block_path(i, Site::kQkv) + "." + part, c.dim, c.dim);
      add(hf_layer(i) + "intermediate.dense", block_path(i, Site::kFc1), c.dim, c.mlp);
      add(hf_layer(i) + "output.dense", block_path(i, Site::kFc2), c.mlp, c.dim);
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
