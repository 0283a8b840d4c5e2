// Full fine-tuning: every parameter trains (an unused pooler is counted, too, and never gets a gradient).
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class Full : public Strategy {
 public:
  const char* name() const override { return "full"; }
  const char* description() const override { return "full fine-tuning: every parameter trains"; }
  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override { model.set_requires_grad(true); }
  bool can_merge() const override { return false; }
  Reach reach() const override { return Reach::kBackbone; }
  std::vector<nn::NameEntry> added_names(const nn::VitConfig&, const StrategyOptions&) const override { return {}; }
};

}  // namespace

const Strategy& full() {
  static const Full strategy;
  return strategy;
}

}  // namespace taut::finetune
