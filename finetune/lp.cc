// Linear probing: only the head trains.
#include "finetune/sites.h"
#include "finetune/strategies.h"

namespace taut::finetune {
namespace {

class LinearProbe : public Strategy {
 public:
  const char* name() const override { return "lp"; }
  const char* description() const override { return "linear probing: only the head trains"; }
  void apply(nn::Model& model, const StrategyOptions&, uint64_t) const override { freeze_backbone(model); }
  bool can_merge() const override { return false; }
  Reach reach() const override { return Reach::kHead; }
  std::vector<nn::NameEntry> added_names(const nn::VitConfig&, const StrategyOptions&) const override { return {}; }
};

}  // namespace

const Strategy& linear_probe() {
  static const LinearProbe strategy;
  return strategy;
}

}  // namespace taut::finetune
