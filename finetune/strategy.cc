#include "finetune/strategy.h"

#include "finetune/sites.h"
#include "finetune/strategies.h"
#include "tensor/nearest.h"

namespace taut::finetune {
namespace {

using StrategyOf = const Strategy& (*)();
constexpr StrategyOf kStrategies[] = {full, linear_probe, lora, adapter, compacter, ia3, bitfit, ln_tuning, bn_tuning};

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

namespace {

// Parameters and buffers of `from` go where `to` has the same paths, shared.
void share_state(const nn::Model& from, nn::Model& to) {
  for (const auto& [path, tensor] : nn::state_of(to))
    to.parameter(path).set_value(from.parameter(path).value().to(tensor.dtype()));
}

}  // namespace

std::shared_ptr<nn::Model> merge(const nn::Model& model) {
  const std::shared_ptr<nn::Model> plain = model.config().build(model.dtype());
  share_state(model, *plain);
  for (const nn::LayerSlot& slot : model.slots()) {
    const nn::Layer* layer = slot.layer.get();
    const bool is_plain = layer == nullptr || dynamic_cast<const nn::Linear*>(layer) != nullptr ||
                          dynamic_cast<const nn::Conv*>(layer) != nullptr;
    if (is_plain) continue;
    const auto* mergeable = dynamic_cast<const Mergeable*>(layer);
    TAUT_CHECK(mergeable != nullptr, "[merge] the layer at {} cannot be folded into a plain one", slot.path);
    const Folded folded = mergeable->folded();
    plain->parameter(slot.path + ".weight").set_value(folded.weight);
    if (folded.bias.defined()) plain->parameter(slot.path + ".bias").set_value(folded.bias);
  }
  plain->set_precision(model.precision());
  return plain;
}

std::shared_ptr<nn::Model> rebuild(const nn::Model& model, const Strategy& strategy, const StrategyOptions& options) {
  const std::shared_ptr<nn::Model> copy = model.config().build(model.dtype());
  strategy.apply(*copy, options, 0);
  share_state(model, *copy);
  copy->set_requires_grad(false);
  copy->set_precision(model.precision());
  return copy;
}

std::shared_ptr<nn::Model> evaluation_model(const nn::Model& model, const Strategy& strategy,
                                            const StrategyOptions& options) {
  return strategy.can_merge() ? merge(model) : rebuild(model, strategy, options);
}

}  // namespace taut::finetune
