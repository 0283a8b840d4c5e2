#include "nn/weights.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

#include "tensor/weights_file.h"

namespace taut::nn {
namespace {

// Names as other libraries' wrappers prefix them, without the prefix.
std::string strip_wrappers(std::string name) {
  for (bool again = true; again;) {
    again = false;
    for (const char* prefix : {"module.", "model.", "state_dict."}) {
      if (name.starts_with(prefix)) {
        name = name.substr(std::string(prefix).size());
        again = true;
      }
    }
  }
  return name;
}

bool is_hf(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& n) {
    return n.find("encoder.layer.") != std::string::npos || n.find("embeddings.cls_token") != std::string::npos;
  });
}

bool matches(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& p) { return std::regex_search(name, std::regex(p)); });
}

bool is_pooler(const std::string& name) { return name.find("pooler.") != std::string::npos; }

// The spelling of an entry that the file uses, or "" if it has none of them.
std::string spelling(const NameEntry& e, const std::map<std::string, std::string>& in_file) {
  std::vector<std::string> spellings = {e.external};
  if (e.external.starts_with("vit.")) spellings.push_back(e.external.substr(4));
  if (e.external.starts_with("classifier.")) spellings.push_back("heads.default.1" + e.external.substr(10));
  if (e.external.starts_with("fc.")) spellings.push_back("linear" + e.external.substr(2));
  if (const size_t at = e.external.find("downsample."); at != std::string::npos)
    spellings.push_back(e.external.substr(0, at) + "shortcut" + e.external.substr(at + 10));
  for (const std::string& s : spellings)
    if (in_file.contains(s)) return s;
  return "";
}

// timm's fused qkv as three entries where the file holds it split (attn.q, or attn.q_proj).
std::vector<NameEntry> split_where_the_file_does(const std::vector<NameEntry>& map,
                                                 const std::map<std::string, std::string>& in_file, int64_t dim) {
  std::vector<NameEntry> out;
  for (const NameEntry& e : map) {
    const size_t at = e.external.find("attn.qkv.");
    bool split = false;
    if (at != std::string::npos && !in_file.contains(e.external)) {
      for (const char* form : {"", "_proj"}) {
        const std::string head = e.external.substr(0, at + 5), tail = e.external.substr(at + 8);
        if (!in_file.contains(head + "q" + form + tail)) continue;
        Shape shape = e.shape;
        shape[0] = dim;
        for (int64_t i = 0; i < 3; ++i)
          out.push_back({head + "qkv"[i == 0 ? 0 : i == 1 ? 1 : 2] + form + tail, e.path, shape, i * dim, dim});
        split = true;
        break;
      }
    }
    if (!split) out.push_back(e);
  }
  return out;
}

std::string list_of(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  constexpr size_t kShown = 8;
  std::string text = fmt::format("; {} {}: ", names.size(), what);
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

bool is_square(int64_t n, int64_t& side) {
  side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(n))));
  return side * side == n;
}

}  // namespace

LoadReport load_weights(Model& model, const std::string& path, const LoadOptions& options) {
  const WeightsFile file = WeightsFile::open(path);
  const auto* vit = dynamic_cast<const VitConfig*>(&model.config());
  std::map<std::string, std::string> in_file;  // stripped name -> the file's
  for (const std::string& n : file.names()) {
    if (vit == nullptr && n.ends_with(".num_batches_tracked")) continue;
    const auto [it, is_new] = in_file.emplace(strip_wrappers(n), n);
    if (!is_new) fail(Exit::kBadData, "[{}] tensors '{}' and '{}' are the same parameter", path, it->second, n);
  }
  LoadReport report;
  report.style = vit == nullptr ? NameStyle::kTorchvision : is_hf(file.names()) ? NameStyle::kHf : NameStyle::kTimm;
  const std::vector<NameEntry> map =
      vit == nullptr ? name_map(model) : split_where_the_file_does(name_map(*vit, report.style), in_file, vit->dim);
  const auto is_head = [&](const NameEntry& e) { return model.is_head(e.path); };

  std::vector<std::string> missing, unexpected, misshaped;
  std::set<std::string> used;
  struct Source {
    NameEntry entry;
    std::string name;
    bool interpolate = false;
  };
  std::vector<Source> sources;
  for (const NameEntry& e : map) {
    const std::string found = spelling(e, in_file);
    if (found.empty()) {
      if (is_head(e) && options.new_head) {
        report.head_loaded = false;
      } else if (is_pooler(e.external) || matches(e.external, options.allow_missing)) {
        report.missing.push_back(e.external);  // the pooler never enters the function
      } else {
        missing.push_back(e.external);
      }
      continue;
    }
    used.insert(found);
    const std::string& stored = in_file.at(found);
    const Shape& shape = file.info(stored).shape;
    if (shape == e.shape) {
      sources.push_back({e, stored});
      continue;
    }
    int64_t side = 0;
    if (vit != nullptr && e.path == "pos_embed" && shape.size() == 3 && shape[0] == 1 && shape[2] == vit->dim &&
        is_square(shape[1] - 1, side)) {
      sources.push_back({e, stored, true});
      report.positions_interpolated = true;
    } else if (is_head(e) && options.new_head) {
      report.head_loaded = false;
    } else {
      misshaped.push_back(fmt::format("{} {} instead of {}", stored, to_string(shape), to_string(e.shape)));
    }
  }
  for (const auto& [stripped, stored] : in_file) {
    if (used.contains(stripped)) continue;
    if ((is_pooler(stripped) && vit != nullptr && !vit->pooler) || matches(stored, options.allow_unexpected))
      report.unexpected.push_back(stored);
    else
      unexpected.push_back(stored);
  }
  if (!missing.empty() || !unexpected.empty() || !misshaped.empty())
    fail(Exit::kBadData,
         "[{}] the weights do not fit the model{}{}{}; hint: check model.name, model.classes and model.flavour", path,
         list_of("mis-shaped", misshaped), list_of("missing", missing), list_of("unexpected", unexpected));

  // Everything is read before anything is changed.
  std::map<std::string, Tensor> state;
  for (const Source& s : sources) {
    if (!report.head_loaded && is_head(s.entry)) continue;
    Tensor t = file.read(s.name);
    if (!is_floating(t.dtype()))
      fail(Exit::kBadData, "[{}] tensor '{}': expected floating numbers, got {}", path, s.name, name(t.dtype()));
    t = t.to(model.dtype());
    if (s.interpolate) {
      int64_t side = 0;
      is_square(t.size(1) - 1, side);
      t = interpolate_positions(t, 1, side, side, vit->grid(), vit->grid());
    }
    const Shape ours = model.parameter(s.entry.path).shape();
    if (s.entry.rows == 0) {
      state[s.entry.path] = t.reshape(ours);
    } else {
      auto [it, is_new] = state.try_emplace(s.entry.path);
      if (is_new) it->second = Tensor::empty(ours, model.dtype());
      it->second.slice(0, s.entry.row, s.entry.rows).copy_from(t);
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
  }
  if (state.size() != parameters.size())
    for (const auto& [path, tensor] : state)
      if (std::none_of(parameters.begin(), parameters.end(), [&](const NamedParameter& p) { return p.path == path; }))
        fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", file, path);
  for (NamedParameter& p : parameters) p.var.set_value(state.at(p.path).clone());
}

}  // namespace taut::nn
