#include "finetune/strategy.h"

#include "finetune/sites.h"
#include "finetune/strategies.h"
#include "tensor/nearest.h"

namespace taut::finetune {
namespace {

using StrategyOf = const Strategy& (*)();
constexpr StrategyOf kStrategies[] = {full, linear_probe, lora, adapter, compacter, ia3, bitfit, ln_tuning};

}  // namespace

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const StrategyOf s : kStrategies) names.emplace_back(s().name());
  return names;
}

const Strategy& strategy(const std::string& name) {
  for (const StrategyOf s : kStrategies)
    if (name == s().name()) return s();
  fail(Exit::kUsage, "[model.strategy] there is no strategy '{}'; hint: {}", name,
       did_you_mean(name, strategy_names()));
}

std::vector<nn::NameEntry> adapterhub_names(const nn::VitConfig& config, const Strategy& strategy,
                                            const StrategyOptions& options) {
  std::vector<nn::NameEntry> map = nn::name_map(config, nn::NameStyle::kHf);
  for (nn::NameEntry& e : map)
    if (e.path.starts_with("head.")) e.external = "heads.default.1." + e.path.substr(5);
  const std::vector<nn::NameEntry> added = strategy.added_names(config, options);
  map.insert(map.end(), added.begin(), added.end());
  return map;
}

std::shared_ptr<nn::Vit> merge(const nn::Vit& vit) {
  auto plain = std::make_shared<nn::Vit>(vit.config(), vit.dtype());
  for (nn::NamedParameter& p : plain->parameters()) p.var.set_value(vit.parameter(p.path).value());
  for (size_t i = 0; i < vit.blocks.size(); ++i) {
    for (const Site site : kAllSites) {
      const nn::Layer* layer = layer_at(*vit.blocks[i], site).get();
      if (dynamic_cast<const nn::Linear*>(layer) != nullptr) continue;
      const auto* mergeable = dynamic_cast<const Mergeable*>(layer);
      TAUT_CHECK(mergeable != nullptr, "[merge] the layer at {} cannot be folded into a linear one",
                 block_path(static_cast<int64_t>(i), site));
      const std::shared_ptr<nn::Linear> merged = mergeable->merged();
      const std::shared_ptr<nn::Linear> target = linear_at(*plain->blocks[i], site);
      target->weight.set_value(merged->weight.value());
      target->bias.set_value(merged->bias.value());
    }
  }
  return plain;
}

std::shared_ptr<nn::Vit> rebuild(const nn::Vit& vit, const Strategy& strategy, const StrategyOptions& options) {
  auto copy = std::make_shared<nn::Vit>(vit.config(), vit.dtype());
  strategy.apply(*copy, options, 0);
  for (nn::NamedParameter& p : copy->parameters()) p.var.set_value(vit.parameter(p.path).value());
  copy->set_requires_grad(false);
  return copy;
}

std::shared_ptr<nn::Vit> evaluation_model(const nn::Vit& vit, const Strategy& strategy,
                                          const StrategyOptions& options) {
  return strategy.can_merge() ? merge(vit) : rebuild(vit, strategy, options);
}

}  // namespace taut::finetune
