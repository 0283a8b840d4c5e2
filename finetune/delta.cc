#include "finetune/delta.h"

#include <cstring>
#include <set>

#include "finetune/sites.h"
#include "tensor/safetensors.h"
#include "tensor/sha256.h"

namespace taut::finetune {
namespace {

constexpr const char* kFormat = "taut-delta-1";

std::string describe(const StrategyOptions& o) {
  return fmt::format("mode {} rank {} alpha {:.17g} reduction {} bottleneck {} phm_n {} phm_rank {}",
                     o.mode == Mode::kOfficial ? "official" : "fixed", o.rank, o.alpha, o.reduction, o.bottleneck,
                     o.phm_n, o.phm_rank);
}

// What a delta holds, in the file's names and shapes: the trainable parameters, a ViT's under AdapterHub's names, and
// batch norms whole, since their statistics moved and peft knows whole modules alone.
std::vector<nn::NameEntry> delta_entries(const nn::Model& model, const Strategy& strategy,
                                         const StrategyOptions& options) {
  std::vector<nn::NameEntry> entries;
  const auto* vit = dynamic_cast<const nn::VitConfig*>(&model.config());
  if (vit == nullptr) {
    for (const nn::NamedParameter& p : model.parameters())
      if (p.var.requires_grad() || is_norm_parameter(p.path)) entries.push_back({p.path, p.path, p.var.shape()});
  } else {
    for (nn::NameEntry& e : adapterhub_names(*vit, strategy, options))
      if (model.parameter(e.path).requires_grad()) entries.push_back(std::move(e));
  }
  for (const nn::NamedBuffer& b : model.buffers()) entries.push_back({b.path, b.path, b.var.shape()});
  return entries;
}

}  // namespace

std::string base_hash(const nn::Model& plain) {
  Sha256 hash;
  hash.update(plain.config().description());
  for (const auto& [path, value] : nn::state_of(plain)) {
    if (plain.is_head(path)) continue;
    const Tensor t = value.contiguous().to(Device{});
    hash.update(fmt::format("\n{} {} {}\n", path, name(t.dtype()), to_string(t.shape())));
    hash.update(t.raw(), static_cast<size_t>(t.bytes()));
  }
  return hash.hex();
}

void save_delta(const std::string& file, const nn::Model& model, const Strategy& strategy,
                const StrategyOptions& options, const std::string& base) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const nn::NameEntry& e : delta_entries(model, strategy, options)) {
    Tensor t = model.parameter(e.path).value();
    if (e.rows > 0) t = t.slice(0, e.row, e.rows);
    tensors.emplace_back(e.external, t.reshape(e.shape));
  }
  write_safetensors(file, tensors,
                    {{"format", kFormat},
                     {"strategy", strategy.name()},
                     {"options", describe(options)},
                     {"model", model.config().description()},
                     {"classes", std::to_string(model.config().classes)},
                     {"base_sha256", base}});
}

void load_delta(const std::string& path, nn::Model& model, const Strategy& strategy, const StrategyOptions& options,
                const std::string& base) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto expect = [&](const char* key, const std::string& want) {
    const auto it = file.metadata().find(key);
    const std::string got = it == file.metadata().end() ? "nothing" : it->second;
    if (got != want)
      fail(Exit::kBadData, "[{}] delta's {}: expected '{}', got '{}'", path, key, want, printable(got, 300));
  };
  expect("format", kFormat);
  expect("strategy", strategy.name());
  expect("options", describe(options));
  expect("model", model.config().description());
  expect("classes", std::to_string(model.config().classes));
  expect("base_sha256", base);

  std::map<std::string, Tensor> values;
  std::set<std::string> used;
  for (const nn::NameEntry& e : delta_entries(model, strategy, options)) {
    const Tensor t = file.read(e.external);
    const Var parameter = model.parameter(e.path);
    if (t.shape() != e.shape || t.dtype() != parameter.dtype())
      fail(Exit::kBadData, "[{}] tensor '{}': expected {} {}, got {}", path, e.external, name(parameter.dtype()),
           to_string(e.shape), to_string(t, 0));
    nn::check_variance(e.path, t, path, e.external);
    used.insert(e.external);
    auto [it, is_new] = values.try_emplace(e.path);
    if (is_new) it->second = Tensor::empty(parameter.shape(), parameter.dtype());
    if (e.rows > 0)
      it->second.slice(0, e.row, e.rows).copy_from(t);
    else
      it->second.copy_from(t.reshape(parameter.shape()));
  }
  for (const std::string& n : file.names())
    if (!used.contains(n)) fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", path, printable(n));
  for (const auto& [p, t] : values) model.parameter(p).set_value(t);
}

}  // namespace taut::finetune
