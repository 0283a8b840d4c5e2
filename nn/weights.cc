#include "nn/weights.h"

#include <algorithm>
#include <cmath>

#include "nn/file_names.h"
#include "tensor/weights_file.h"

namespace taut::nn {
namespace {

bool is_square(int64_t n, int64_t& side) {
  side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(n))));
  return side * side == n;
}

}  // namespace

void check_variance(const std::string& path, const Tensor& values, const std::string& file, const std::string& tensor) {
  if (!path.ends_with("running_var")) return;
  const std::vector<double> all = values.to_doubles();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] < 0)
      fail(Exit::kBadData, "[{}] tensor '{}': expected variances, which are at least 0, got {} at index {}", file,
           printable(tensor), all[i], i);
}

LoadReport load_weights(Model& model, const std::string& path, const LoadOptions& options) {
  NamePatterns allow_missing(options.allow_missing, "model.allow_missing"),
      allow_unexpected(options.allow_unexpected, "model.allow_unexpected");
  const WeightsFile file = WeightsFile::open(path);
  const auto* vit = dynamic_cast<const VitConfig*>(&model.config());
  const FileNames names(file);
  LoadReport report;
  report.style = vit == nullptr                             ? NameStyle::kTorchvision
                 : names.style() == NameStyle::kTorchvision ? NameStyle::kTimm
                                                            : names.style();
  std::vector<NameEntry> map = vit == nullptr ? name_map(model) : name_map(*vit, report.style), absent;
  // Only Hugging Face's pooler is beside the way from the class token to the head.
  if (report.style != NameStyle::kHf)
    std::erase_if(map, [](const NameEntry& e) { return e.path.starts_with("pooler."); });
  const std::vector<FoundEntry> found = names.find(map, vit == nullptr ? 0 : vit->dim, absent);
  const auto is_head = [&](const NameEntry& e) { return model.is_head(e.path); };

  std::vector<std::string> missing, unexpected, misshaped;
  struct Source {
    FoundEntry from;
    bool interpolate = false;
  };
  std::vector<Source> sources;
  for (const NameEntry& e : absent) {
    if (is_head(e) && options.new_head)
      report.head_loaded = report.head_in_file = false;
    else if (e.path.starts_with("pooler.") || allow_missing.match(e.external))
      report.missing.push_back(e.external);
    else
      missing.push_back(e.external);
  }
  for (const FoundEntry& f : found) {
    int64_t side = 0;
    if (f.shape == f.entry.shape) {
      sources.push_back({f});
    } else if (vit != nullptr && f.entry.path == "pos_embed" && f.shape.size() == 3 && f.shape[0] == 1 &&
               f.shape[2] == vit->dim && is_square(f.shape[1] - 1, side)) {
      sources.push_back({f, true});
      report.positions_interpolated = true;
    } else if (is_head(f.entry) && options.new_head) {
      report.head_loaded = false;
    } else {
      misshaped.push_back(fmt::format("{} {} instead of {}", f.stored, to_string(f.shape), to_string(f.entry.shape)));
    }
  }
  int64_t never_run = 0;
  for (const std::string& stored : names.others(found)) {
    if (vit == nullptr && stored.ends_with(".num_batches_tracked")) continue;
    if (is_never_run(model.config(), names.without_prefix(stored))) {
      ++never_run;
      continue;
    }
    const bool passed_over = vit != nullptr && is_between_backbone_and_head(stored) &&
                             (report.style == NameStyle::kHf || !report.head_loaded);
    if (passed_over || allow_unexpected.match(stored))
      report.unexpected.push_back(stored);
    else
      unexpected.push_back(stored);
  }
  if (!missing.empty() || !unexpected.empty() || !misshaped.empty())
    fail(Exit::kBadData,
         "[{}] the weights do not fit the model{}{}{}; hint: check model.name, model.classes and model.flavour", path,
         listed("mis-shaped", misshaped), listed("missing", missing),
         vit == nullptr ? listed("unexpected", unexpected) : listed_strangers("unexpected", unexpected));

  if (never_run > 0)
    report.unexpected.push_back(
        fmt::format("sub_block1, {} tensors of layers that TRADES' code never runs", never_run));

  // Everything is read before anything is changed.
  std::map<std::string, Tensor> state;
  for (const Source& s : sources) {
    const NameEntry& e = s.from.entry;
    if (!report.head_loaded && is_head(e)) continue;
    Tensor t = file.read(s.from.stored);
    if (!is_floating(t.dtype()))
      fail(Exit::kBadData, "[{}] tensor '{}': expected floating numbers, got {}", path, s.from.stored, name(t.dtype()));
    if (s.from.layer >= 0) t = t.slice(0, s.from.layer, 1).reshape(s.from.shape);
    t = t.to(model.dtype());
    check_variance(e.path, t, path, s.from.stored);
    if (s.interpolate) {
      int64_t side = 0;
      is_square(t.size(1) - 1, side);
      t = interpolate_positions(t, 1, side, side, vit->grid(), vit->grid());
    }
    const Shape ours = model.parameter(e.path).shape();
    if (e.rows == 0) {
      state[e.path] = rows_of_file(e, t, ours);
    } else {
      auto [it, is_new] = state.try_emplace(e.path);
      if (is_new) it->second = Tensor::empty(ours, model.dtype());
      it->second.slice(0, e.row, e.rows).copy_from(rows_of_file(e, t, ours));
    }
  }
  for (const auto& [name, tensor] : state) model.parameter(name).set_value(tensor);
  report.sha256 = file.sha256();
  return report;
}

namespace {

std::vector<NamedParameter> parameters_and_buffers(const Module& module) {
  std::vector<NamedParameter> all = module.parameters();
  for (NamedBuffer& b : module.buffers()) all.push_back(std::move(b));
  return all;
}

}  // namespace

std::vector<std::pair<std::string, Tensor>> state_of(const Module& module) {
  std::vector<std::pair<std::string, Tensor>> state;
  for (const NamedParameter& p : parameters_and_buffers(module)) state.emplace_back(p.path, p.var.value());
  return state;
}

void load_state(Module& module, const std::map<std::string, Tensor>& state, const std::string& file) {
  std::vector<NamedParameter> parameters = parameters_and_buffers(module);
  for (const NamedParameter& p : parameters) {
    const auto it = state.find(p.path);
    if (it == state.end()) fail(Exit::kBadData, "[{}] tensor '{}' is missing", file, p.path);
    if (it->second.shape() != p.var.shape() || it->second.dtype() != p.var.dtype())
      fail(Exit::kBadData, "[{}] tensor '{}': expected {} {}, got {}", file, p.path, name(p.var.dtype()),
           to_string(p.var.shape()), to_string(it->second, 0));
    check_variance(p.path, it->second, file, p.path);
  }
  if (state.size() != parameters.size())
    for (const auto& entry : state)
      if (std::none_of(parameters.begin(), parameters.end(),
                       [&](const NamedParameter& p) { return p.path == entry.first; }))
        fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", file, entry.first);
  for (NamedParameter& p : parameters) p.var.set_value(state.at(p.path).clone());
}

}  // namespace taut::nn
