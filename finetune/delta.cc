#include "finetune/delta.h"

#include <cstring>
#include <set>

#include "tensor/safetensors.h"
#include "tensor/sha256.h"

namespace taut::finetune {
namespace {

constexpr const char* kFormat = "taut-delta-1";

std::string describe(const nn::VitConfig& c) {
  return fmt::format("vit {} {} {} {} {} {} {} {:.17g} {:.17g} {:.17g}", c.image_size, c.patch, c.channels, c.dim,
                     c.depth, c.heads, c.mlp, c.eps, fmt::join(c.mean, ","), fmt::join(c.std, ","));
}

std::string describe(const StrategyOptions& o) {
  return fmt::format("mode {} rank {} alpha {:.17g} reduction {} bottleneck {} phm_n {} phm_rank {}",
                     o.mode == Mode::kOfficial ? "official" : "fixed", o.rank, o.alpha, o.reduction, o.bottleneck,
                     o.phm_n, o.phm_rank);
}

// The trainable parameters of a model under AdapterHub's names, in the file's shapes.
std::vector<nn::NameEntry> trainable_entries(const nn::Vit& vit, const Strategy& strategy,
                                             const StrategyOptions& options) {
  std::vector<nn::NameEntry> entries;
  for (nn::NameEntry& e : adapterhub_names(vit.config(), strategy, options))
    if (vit.parameter(e.path).requires_grad()) entries.push_back(std::move(e));
  return entries;
}

}  // namespace

std::string base_hash(const nn::Vit& plain) {
  Sha256 hash;
  hash.update(describe(plain.config()));
  for (const nn::NamedParameter& p : plain.parameters()) {
    if (p.path.starts_with("head.")) continue;
    const Tensor t = p.var.value().contiguous();
    hash.update(fmt::format("\n{} {} {}\n", p.path, name(t.dtype()), to_string(t.shape())));
    hash.update(t.raw(), static_cast<size_t>(t.bytes()));
  }
  return hash.hex();
}

void save_delta(const std::string& file, const nn::Vit& vit, const Strategy& strategy, const StrategyOptions& options,
                const std::string& base) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const nn::NameEntry& e : trainable_entries(vit, strategy, options)) {
    Tensor t = vit.parameter(e.path).value();
    if (e.rows > 0) t = t.slice(0, e.row, e.rows);
    tensors.emplace_back(e.external, t.reshape(e.shape));
  }
  write_safetensors(file, tensors,
                    {{"format", kFormat},
                     {"strategy", strategy.name()},
                     {"options", describe(options)},
                     {"model", describe(vit.config())},
                     {"classes", std::to_string(vit.config().classes)},
                     {"base_sha256", base}});
}

void load_delta(const std::string& path, nn::Vit& vit, const Strategy& strategy, const StrategyOptions& options,
                const std::string& base) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto expect = [&](const char* key, const std::string& want) {
    const auto it = file.metadata().find(key);
    const std::string got = it == file.metadata().end() ? "nothing" : it->second;
    if (got != want) fail(Exit::kBadData, "[{}] delta's {}: expected '{}', got '{}'", path, key, want, got);
  };
  expect("format", kFormat);
  expect("strategy", strategy.name());
  expect("options", describe(options));
  expect("model", describe(vit.config()));
  expect("classes", std::to_string(vit.config().classes));
  expect("base_sha256", base);

  std::map<std::string, Tensor> values;
  std::set<std::string> used;
  for (const nn::NameEntry& e : trainable_entries(vit, strategy, options)) {
    const Tensor t = file.read(e.external);
    const Var parameter = vit.parameter(e.path);
    if (t.shape() != e.shape || t.dtype() != parameter.dtype())
      fail(Exit::kBadData, "[{}] tensor '{}': expected {} {}, got {}", path, e.external, name(parameter.dtype()),
           to_string(e.shape), to_string(t, 0));
    used.insert(e.external);
    auto [it, is_new] = values.try_emplace(e.path);
    if (is_new) it->second = Tensor::empty(parameter.shape(), parameter.dtype());
    if (e.rows > 0)
      it->second.slice(0, e.row, e.rows).copy_from(t);
    else
      it->second.copy_from(t.reshape(parameter.shape()));
  }
  for (const std::string& n : file.names())
    if (!used.contains(n)) fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", path, n);
  for (const auto& [p, t] : values) vit.parameter(p).set_value(t);
}

}  // namespace taut::finetune
