// What Adapter and Compacter share: a bottleneck with a residual of its own, out = a + up(gelu(down(a))), and its other
// forms in AdapterHub's library, out = a + up(f(down(x))).
//
// In a ViT a is the output of the attention's projection and of fc2 in every block. In a residual net it is what a
// block's branch adds to its shortcut, after the last norm (Rebuffi et al., 2018, "series" adapters), and the two
// layers are 1x1 convolutions, which are linear layers over the channels.
#pragma once

#include <algorithm>
#include <functional>

#include "finetune/sites.h"
#include "finetune/strategy.h"
#include "nn/vit.h"

namespace taut::finetune {

// h is the stream that a is added to. The study trains the form that stands here; the others are read (hub_layout.cc),
// for ViTs alone.
struct BottleneckForm {
  enum class Activation { kGelu, kRelu, kSilu };
  enum class Input { kBranch, kSum, kStream };  // x = a, h + a, h
  Activation activation = Activation::kGelu;
  Input input = Input::kBranch;
  bool operator==(const BottleneckForm&) const = default;
};
// All of them, the study's first.
std::vector<BottleneckForm> all_forms();

// The two layers of a bottleneck; up(u, a) adds a.
class Bottleneck : public nn::Layer {
 public:
  virtual Var down(const Var& x, BottleneckForm::Activation activation) = 0;
  virtual Var up(const Var& u, const Var& a) = 0;
  Var forward(const Var& a) override { return up(down(a, BottleneckForm::Activation::kGelu), a); }
};

Var activated(const Var& x, BottleneckForm::Activation activation);

// Puts a bottleneck at every place of the model; `make` gets the number of features there and the path, and what it
// gives becomes trainable. Throws Error(kUsage) naming `strategy` if the model has no such place, or another form than
// the study's is asked for in a net that is no ViT.
void add_bottlenecks(nn::Model& model, const char* strategy, const BottleneckForm& form,
                     const std::function<std::shared_ptr<Bottleneck>(int64_t dim, const std::string& path)>& make);

// The strategies that `adapter` and `compacter` are in each form.
const Strategy& adapter(const BottleneckForm& form);
const Strategy& compacter(const BottleneckForm& form);

template <class S>
const S& strategy_of_form(const BottleneckForm& form) {
  static const std::vector<BottleneckForm> forms = all_forms();
  static const std::vector<S> all(forms.begin(), forms.end());
  return all.at(static_cast<size_t>(std::find(forms.begin(), forms.end(), form) - forms.begin()));
}

// dim / reduction, or the bottleneck asked for; throws Error(kUsage) below 1.
int64_t bottleneck_size(int64_t dim, const StrategyOptions& options, int64_t default_reduction);

// Our paths of a ViT's bottlenecks, "blocks.0.attn.proj.adapter", and AdapterHub's of the same ones, without the
// adapter's name.
struct BottleneckPath {
  std::string ours, hub;
};
std::vector<BottleneckPath> bottleneck_paths(const nn::VitConfig& config);

}  // namespace taut::finetune
