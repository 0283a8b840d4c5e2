#include "finetune/bottleneck.h"

namespace taut::finetune {
namespace {

class WithBottleneck : public nn::Layer {
 public:
  WithBottleneck(std::shared_ptr<nn::Layer> base, std::shared_ptr<Bottleneck> bottleneck)
      : base_(add_child("", std::move(base))), bottleneck_(add_child("adapter", std::move(bottleneck))) {}

  Var forward(const Var& x) override {
    const Var a = base_->forward(x);
    return bottleneck_->up(bottleneck_->down_gelu(a), a);
  }

 private:
  std::shared_ptr<nn::Layer> base_;
  std::shared_ptr<Bottleneck> bottleneck_;
};

constexpr Site kBottleneckSites[] = {Site::kProj, Site::kFc2};

}  // namespace

void add_bottlenecks(nn::Vit& vit, const std::function<std::shared_ptr<Bottleneck>(const std::string& path)>& make) {
  for (size_t i = 0; i < vit.blocks.size(); ++i) {
    for (const Site site : kBottleneckSites) {
      nn::Block& block = *vit.blocks[i];
      auto bottleneck = make(block_path(static_cast<int64_t>(i), site) + ".adapter");
      bottleneck->set_requires_grad(true);
      replace_layer(block, site, std::make_shared<WithBottleneck>(linear_at(block, site), std::move(bottleneck)));
    }
  }
}

int64_t bottleneck_size(const nn::VitConfig& config, const StrategyOptions& options, int64_t default_reduction) {
  const int64_t reduction = options.reduction > 0 ? options.reduction : default_reduction;
  const int64_t size = options.bottleneck > 0 ? options.bottleneck : config.dim / reduction;
  TAUT_CHECK(size >= 1, "[peft.reduction] expected at most the model's width {}, got {}", config.dim, reduction);
  return size;
}

std::vector<BottleneckPath> bottleneck_paths(const nn::VitConfig& config) {
  std::vector<BottleneckPath> paths;
  for (int64_t i = 0; i < config.depth; ++i) {
    paths.push_back({block_path(i, Site::kProj) + ".adapter", hf_layer(i) + "attention_adapters.adapters."});
    paths.push_back({block_path(i, Site::kFc2) + ".adapter", hf_layer(i) + "output.output_adapters.adapters."});
  }
  return paths;
}

}  // namespace taut::finetune
