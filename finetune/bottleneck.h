// What Adapter and Compacter share: a bottleneck with a residual of its own after a sub-layer's output,
// out = a + up(gelu(down(a))), a = base(x), placed after the attention's projection and after fc2 of every block.
#pragma once

#include <functional>

#include "finetune/sites.h"
#include "finetune/strategy.h"

namespace taut::finetune {

// The two layers of a bottleneck; up(u, a) adds a.
class Bottleneck : public nn::Module {
 public:
  virtual Var down_gelu(const Var& a) = 0;
  virtual Var up(const Var& u, const Var& a) = 0;
};

// Wraps the layers of all blocks; `make` gets the path of the site and gives its bottleneck, which becomes trainable.
void add_bottlenecks(nn::Vit& vit, const std::function<std::shared_ptr<Bottleneck>(const std::string& path)>& make);

// dim / reduction, or the bottleneck asked for; throws Error(kUsage) below 1.
int64_t bottleneck_size(const nn::VitConfig& config, const StrategyOptions& options, int64_t default_reduction);

// Our paths of the bottlenecks, "blocks.0.attn.proj.adapter", and AdapterHub's of the same ones, without the adapter's
// name.
struct BottleneckPath {
  std::string ours, hub;
};
std::vector<BottleneckPath> bottleneck_paths(const nn::VitConfig& config);

}  // namespace taut::finetune
