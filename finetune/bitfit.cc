// BitFit (Ben Zaken et al., 2022): all biases and the head train, in convolutional nets those of convolutions, batch
// norms and linear layers. Key biases get no gradient (softmax is invariant to them), norm gains stay frozen.
#include "finetune/sites.h"
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class BitFit : public Strategy {
 public:
  const char* name() const override { return "bitfit"; }
  const char* description() const override { return "BitFit: all biases and the head train"; }
  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override {
    freeze_backbone(model);
    for (nn::NamedParameter& p : model.parameters())
      if (p.path.ends_with("bias")) p.var.set_requires_grad(true);
  }
  bool can_merge() const override { return false; }
  std::vector<nn::NameEntry> added_names(const nn::VitConfig&, const StrategyOptions&) const override { return {}; }
};

}  // namespace

const Strategy& bitfit() {
  static const BitFit strategy;
  return strategy;
}

}  // namespace taut::finetune
