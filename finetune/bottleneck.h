// What Adapter and Compacter share: a bottleneck with a residual of its own, out = a + up(gelu(down(a))).
//
// In a ViT a is the output of the attention's projection and of fc2 in every block. In a residual net it is what a
// block's branch adds to its shortcut, after the last norm (Rebuffi et al., 2018, "series" adapters), and the two
// layers are 1x1 convolutions, which are linear layers over the channels.
#pragma once

#include <functional>

#include "finetune/sites.h"
#include "finetune/strategy.h"
#include "nn/vit.h"

namespace taut::finetune {

// The two layers of a bottleneck; up(u, a) adds a.
class Bottleneck : public nn::Layer {
 public:
  virtual Var down_gelu(const Var& a) = 0;
  virtual Var up(const Var& u, const Var& a) = 0;
  Var forward(const Var& a) override { return up(down_gelu(a), a); }
};

// Puts a bottleneck at every place of the model; `make` gets the number of features there and the path, and what it
// gives becomes trainable. Throws Error(kUsage) naming `strategy` if the model has no such place.
void add_bottlenecks(nn::Model& model, const char* strategy,
                     const std::function<std::shared_ptr<Bottleneck>(int64_t dim, const std::string& path)>& make);

// dim / reduction, or the bottleneck asked for; throws Error(kUsage) below 1.
int64_t bottleneck_size(int64_t dim, const StrategyOptions& options, int64_t default_reduction);

// Our paths of a ViT's bottlenecks, "blocks.0.attn.proj.adapter", and AdapterHub's of the same ones, without the
// adapter's name.
struct BottleneckPath {
  std::string ours, hub;
};
std::vector<BottleneckPath> bottleneck_paths(const nn::VitConfig& config);

}  // namespace taut::finetune
