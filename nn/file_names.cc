#include "nn/file_names.h"

#include <algorithm>

#include "nn/resnet.h"

namespace taut::nn {
namespace {

NameStyle style_of(const std::vector<std::string>& names) {
  for (const std::string& n : names) {
    if (n.find("Transformer/") != std::string::npos || n.ends_with("embedding/kernel")) return NameStyle::kGoogle;
    if (n.find("encoder.layer.") != std::string::npos || n.find("embeddings.cls_token") != std::string::npos ||
        n.find(".attention.q_proj.") != std::string::npos)
      return NameStyle::kHf;
  }
  const bool is_vit = std::any_of(names.begin(), names.end(), [](const std::string& n) {
    return n.find("blocks.") != std::string::npos || n.find("patch_embed.") != std::string::npos;
  });
  return is_vit ? NameStyle::kTimm : NameStyle::kTorchvision;
}

// Spells a name in place: a model's every name is spelled every way for each file.
void spell(std::string& name, const Spelling& spelling) {
  for (const auto& [change, to] : spelling.changes) {
    std::string_view from = change;
    size_t at = 0;
    if (from.starts_with('^')) {
      from.remove_prefix(1);
      if (!name.starts_with(from)) continue;
    } else {
      at = name.find(from);
    }
    if (at != std::string::npos) name.replace(at, from.size(), to);
  }
}

}  // namespace

const std::vector<Spelling>& all_spellings() {
  using Changes = std::vector<std::pair<const char*, const char*>>;
  // From version 5 of `transformers` on; its save_pretrained writes the older names still, state_dict() and peft these.
  static const Changes v5 = {{"encoder.layer.", "layers."},
                             {".attention.attention.query.", ".attention.q_proj."},
                             {".attention.attention.key.", ".attention.k_proj."},
                             {".attention.attention.value.", ".attention.v_proj."},
                             {".attention.output.dense.", ".attention.o_proj."},
                             {".intermediate.dense.", ".mlp.fc1."},
                             {".output.dense.", ".mlp.fc2."}};
  static const Changes model_v5 = [] {
    Changes changes = v5;
    changes.emplace_back("^vit.", "");
    return changes;
  }();
  static const std::vector<Spelling> all = {
      {"timm", NameStyle::kTimm, {}},
      {"hf", NameStyle::kHf, {}},
      {"hf_model", NameStyle::kHf, {{"^vit.", ""}}},
      {"hf_v5", NameStyle::kHf, v5},
      {"hf_model_v5", NameStyle::kHf, model_v5},
      {"adapterhub", NameStyle::kHf, {{"^classifier.", "heads.default.1."}}},
      {"google", NameStyle::kGoogle, {}},
      {"big_vision",
       NameStyle::kGoogle,
       {{"Transformer/posembed_input/pos_embedding", "pos_embedding"},
        {"MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"},
        {"/LayerNorm_2", "/LayerNorm_1"},
        {"/MlpBlock_3", "/MlpBlock_0"}}},
      {"torchvision", NameStyle::kTorchvision, {}},
      {"akamaster", NameStyle::kTorchvision, {}},
      {"kuangliu", NameStyle::kTorchvision, {{"^fc.", "linear."}, {".downsample.", ".shortcut."}}},
  };
  return all;
}

const Spelling& spelling_by_name(const std::string& names) {
  std::vector<std::string> all;
  for (const Spelling& s : all_spellings()) {
    if (names == s.name) return s;
    all.emplace_back(s.name);
  }
  fail(Exit::kUsage, "[--names] expected {}, or peft or peft_v5 for a run's delta, got '{}'", fmt::join(all, ", "),
       names);
}

std::string spelled(const std::string& name, const Spelling& spelling) {
  std::string text = name;
  spell(text, spelling);
  return text;
}

std::vector<std::string> spellings(const std::string& name, NameStyle style) {
  std::vector<std::string> all = {name};
  std::string other;
  for (const Spelling& spelling : all_spellings()) {
    if (spelling.style != style) continue;
    other = name;
    spell(other, spelling);
    if (std::find(all.begin(), all.end(), other) == all.end()) all.push_back(other);
  }
  return all;
}

const std::vector<const char*>& prefixes(NameStyle style) {
  static const std::vector<const char*> google = {"opt/", "target/", "params/", "img/"},
                                        torch = {"module.", "_orig_mod.", "model.", "state_dict."};
  return style == NameStyle::kGoogle ? google : torch;
}

std::string without_prefixes(std::string name, NameStyle style) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string prefix : prefixes(style)) {
      if (!name.starts_with(prefix)) continue;
      name = name.substr(prefix.size());
      again = true;
    }
  }
  return name;
}

bool is_never_run(const ModelConfig& config, const std::string& name) {
  const auto* resnet = dynamic_cast<const ResNetConfig*>(&config);
  return resnet != nullptr && resnet->names == ResNetConfig::Names::kWide && name.starts_with("sub_block1.");
}

bool is_between_backbone_and_head(const std::string& name) {
  return name.find("pooler.") != std::string::npos || name.find("pre_logits") != std::string::npos;
}

std::string part_of_other_vits(const std::string& name) {
  // As timm calls them.
  static const std::pair<const char*, const char*> kParts[] = {
      {".ls1.", "LayerScale"}, {".ls2.", "LayerScale"}, {".fc_norm.", "the norm after average pooling"},
      {".q_norm.", "qk-norm"}, {".k_norm.", "qk-norm"}, {".norm_pre.", "the norm before the blocks"},
  };
  const std::string dotted = "." + name;
  for (const auto& [part, what] : kParts)
    if (dotted.find(part) != std::string::npos) return what;
  return "";
}

NamePatterns::NamePatterns(const std::vector<std::string>& patterns, const char* setting) {
  for (const std::string& p : patterns) {
    try {
      patterns_.push_back({p, std::regex(p)});
    } catch (const std::regex_error&) {
      fail(Exit::kUsage, "[{}] expected a regular expression, got '{}'", setting, p);
    }
  }
}

bool NamePatterns::match(const std::string& name) {
  bool any = false;
  for (Pattern& p : patterns_)
    if (std::regex_search(name, p.regex)) any = p.used = true;
  return any;
}

std::string listed_strangers(const char* what, const std::vector<std::string>& names) {
  std::map<std::string, std::vector<std::string>> by_part;
  for (const std::string& name : names) by_part[part_of_other_vits(name)].push_back(name);
  std::string text = listed(what, by_part[""]);
  by_part.erase("");
  for (const auto& [part, its] : by_part)
    text += listed(fmt::format("of {}, a part of the function that this ViT does not compute", part), its);
  return text;
}

std::string listed(const std::string& what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  constexpr size_t kShown = 8;
  std::string text = fmt::format("; {} {}: ", names.size(), what);
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i ? ", " : "") + printable(names[i], 160);
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

FileNames::FileNames(const TensorFile& file) : file_(file), style_(style_of(file.names())) {
  for (const std::string& n : file.names()) {
    const auto [it, is_new] = stored_.emplace(without_prefixes(n, style_), n);
    if (!is_new)
      fail(Exit::kBadData, "[{}] tensors '{}' and '{}' are the same parameter", file.path(), printable(it->second),
           printable(n));
  }
}

std::string FileNames::without_prefix(const std::string& stored) const { return without_prefixes(stored, style_); }

bool FileNames::find_one(const NameEntry& e, FoundEntry& found) const {
  for (const std::string& s : spellings(e.external, style_)) {
    if (const auto it = stored_.find(s); it != stored_.end()) {
      found = {e, it->second, -1, file_.info(it->second).shape};
      found.entry.external = s;
      return true;
    }
    static const std::regex block("encoderblock_([0-9]+)/");
    std::smatch match;
    if (style_ != NameStyle::kGoogle || !std::regex_search(s, match, block)) continue;
    const std::string stacked = match.prefix().str() + "encoderblock/" + match.suffix().str();
    const auto it = stored_.find(stacked);
    if (it == stored_.end()) continue;
    const Shape& shape = file_.info(it->second).shape;
    const int64_t layer = std::stoll(match[1]);
    if (shape.empty() || layer >= shape[0]) continue;
    found = {e, it->second, layer, Shape(shape.begin() + 1, shape.end())};
    found.entry.external = s;
    return true;
  }
  return false;
}

std::vector<FoundEntry> FileNames::find(const std::vector<NameEntry>& map, int64_t dim,
                                        std::vector<NameEntry>& missing) const {
  std::vector<FoundEntry> all;
  for (const NameEntry& e : map) {
    FoundEntry found;
    if (find_one(e, found)) {
      all.push_back(std::move(found));
      continue;
    }
    const size_t at = e.external.find("attn.qkv.");
    const auto split_as = [&](const std::string& form) {
      std::vector<NameEntry> parts;
      for (int64_t i = 0; i < 3; ++i) {
        NameEntry part = e;
        part.external = e.external.substr(0, at + 5) + "qkv"[i] + form + e.external.substr(at + 8);
        part.shape[0] = dim;
        part.row = i * dim;
        part.rows = dim;
        parts.push_back(std::move(part));
      }
      return parts;
    };
    std::vector<NameEntry> parts;
    if (at != std::string::npos)
      for (const char* form : {"", "_proj"})
        if (const auto as = split_as(form); contains(as[0].external)) parts = as;
    if (parts.empty()) {
      missing.push_back(e);
    } else {
      for (const NameEntry& part : parts) {
        if (find_one(part, found))
          all.push_back(found);
        else
          missing.push_back(part);
      }
    }
  }
  return all;
}

std::vector<std::string> FileNames::others(const std::vector<FoundEntry>& found) const {
  std::set<std::string> used;
  std::map<std::string, std::set<int64_t>> layers;
  for (const FoundEntry& f : found) {
    used.insert(f.stored);
    if (f.layer >= 0) layers[f.stored].insert(f.layer);
  }
  for (const auto& [stored, read] : layers)
    if (const int64_t blocks = file_.info(stored).shape[0]; blocks > std::ssize(read))
      fail(Exit::kBadData, "[{}] tensor '{}' stacks {} blocks, expected {}; hint: another model, or a damaged file",
           file_.path(), printable(stored), blocks, read.size());
  std::vector<std::string> names;
  for (const std::string& n : file_.names())
    if (!used.contains(n)) names.push_back(n);
  return names;
}

}  // namespace taut::nn
