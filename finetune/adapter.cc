// Adapter (Houlsby et al., 2019) as AdapterHub's BnConfig(output, mh, gelu, reduction 8) places it in ViT:
//   after attention: h1 = h + a + [U gelu(D a + d) + u], a the projection's output;   after the MLP likewise.
// D (dim / 8, dim) and U (dim, dim / 8) ~ N(0, 0.02), biases 0: U is not zero, the start is near the backbone, not on
// it. In residual nets at the end of every block's branch (finetune/bottleneck.h), dim being its channels.
#include "autograd/ops.h"
#include "finetune/bottleneck.h"
#include "finetune/strategies.h"
#include "nn/init.h"

namespace taut::finetune {
namespace {

constexpr int64_t kReduction = 8;

class LinearBottleneck : public Bottleneck {
 public:
  LinearBottleneck(int64_t dim, int64_t size, DType dtype, const std::string& path, uint64_t seed)
      : down_(add_child("down", std::make_shared<nn::Linear>(dim, size, dtype))),
        up_(add_child("up", std::make_shared<nn::Linear>(size, dim, dtype))) {
    Tensor d = down_->weight.value(), u = up_->weight.value();
    nn::fill_normal(d, 0.02, seed, path + ".down.weight");
    nn::fill_normal(u, 0.02, seed, path + ".up.weight");
  }
  Var down(const Var& x, BottleneckForm::Activation f) override {
    return f == BottleneckForm::Activation::kGelu ? down_->forward_gelu(x) : activated(down_->forward(x), f);
  }
  Var up(const Var& u, const Var& a) override { return ops::linear(u, up_->weight, up_->bias, a, up_->precision()); }

 private:
  std::shared_ptr<nn::Linear> down_, up_;
};

class Adapter : public Strategy {
 public:
  explicit Adapter(BottleneckForm form) : form_(form) {}
  const char* name() const override { return "adapter"; }
  const char* description() const override {
    return "Adapter: bottlenecks after attention and MLP (Houlsby), or after residual branches";
  }
  bool can_merge() const override { return false; }

  bool adds_layers() const override { return true; }

  void apply(nn::Model& model, const StrategyOptions& options, uint64_t seed) const override {
    freeze_backbone(model);
    add_bottlenecks(model, name(), form_, [&](int64_t dim, const std::string& path) {
      const int64_t size = bottleneck_size(dim, options, kReduction);
      return std::make_shared<LinearBottleneck>(dim, size, model.dtype(), path, seed);
    });
  }

  std::vector<nn::NameEntry> added_names(const nn::VitConfig& c, const StrategyOptions& options) const override {
    const int64_t size = bottleneck_size(c.dim, options, kReduction);
    std::vector<nn::NameEntry> map;
    for (const BottleneckPath& p : bottleneck_paths(c)) {
      const std::string hub = p.hub + "adapter.";
      map.push_back({hub + "adapter_down.0.weight", p.ours + ".down.weight", {size, c.dim}});
      map.push_back({hub + "adapter_down.0.bias", p.ours + ".down.bias", {size}});
      map.push_back({hub + "adapter_up.weight", p.ours + ".up.weight", {c.dim, size}});
      map.push_back({hub + "adapter_up.bias", p.ours + ".up.bias", {c.dim}});
    }
    return map;
  }

 private:
  BottleneckForm form_;
};

}  // namespace

const Strategy& adapter(const BottleneckForm& form) { return strategy_of_form<Adapter>(form); }
const Strategy& adapter() { return adapter(BottleneckForm{}); }

}  // namespace taut::finetune
