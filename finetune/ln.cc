// LN-tuning (Qi et al., 2022): gains and biases of all layer norms and the head train.
#include "finetune/sites.h"
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class LnTuning : public Strategy {
 public:
  const char* name() const override { return "ln"; }
  const char* description() const override { return "LN-tuning: gains and biases of all layer norms train"; }
  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override {
    TAUT_CHECK(model.config().family() == std::string("vit"),
               "[model.strategy] 'ln' trains layer norms, and this model has none; hint: {}",
               has_batch_norm(model) ? "bn" : "bitfit");
    freeze_backbone(model);
    for (nn::NamedParameter& p : model.parameters())
      if (is_norm_parameter(p.path)) p.var.set_requires_grad(true);
  }
  bool can_merge() const override { return false; }
  std::vector<nn::NameEntry> added_names(const nn::VitConfig&, const StrategyOptions&) const override { return {}; }
};

}  // namespace

const Strategy& ln_tuning() {
  static const LnTuning strategy;
  return strategy;
}

}  // namespace taut::finetune
