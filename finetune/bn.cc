// BN-tuning (Frankle et al., 2021; Kanavati and Tsuneki, 2021): gains and biases of all batch norms and the head train.
#include "finetune/sites.h"
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class BnTuning : public Strategy {
 public:
  const char* name() const override { return "bn"; }
  const char* description() const override { return "BN-tuning: gains and biases of all batch norms train"; }
  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override {
    TAUT_CHECK(has_batch_norm(model), "[model.strategy] 'bn' trains batch norms, and this model has none; hint: {}",
               model.config().family() == std::string("vit") ? "ln" : "bitfit");
    freeze_backbone(model);
    for (nn::NamedParameter& p : model.parameters())
      if (is_norm_parameter(p.path)) p.var.set_requires_grad(true);
  }
  bool can_merge() const override { return false; }
  std::vector<nn::NameEntry> added_names(const nn::VitConfig&, const StrategyOptions&) const override { return {}; }
};

}  // namespace

const Strategy& bn_tuning() {
  static const BnTuning strategy;
  return strategy;
}

}  // namespace taut::finetune
