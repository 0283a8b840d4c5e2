// Names of parameters in other libraries. ViTs: timm's are ours, Hugging Face's split q, k and v. Convolutional nets
// are built under the names of the code bases they come from.
#include "nn/names_google.h"
#include "nn/weights.h"

namespace taut::nn {
namespace {

std::vector<NameEntry> timm_names(const VitConfig& c) {
  const int64_t d = c.dim, m = c.mlp;
  std::vector<NameEntry> map;
  const auto add = [&](const std::string& name, Shape shape) { map.push_back({name, name, std::move(shape)}); };
  const auto add_linear = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {d});
    add(name + ".bias", {d});
  };
  add("cls_token", {1, 1, d});
  add("pos_embed", {1, c.tokens(), d});
  add("patch_embed.proj.weight", {d, c.channels, c.patch, c.patch});
  add("patch_embed.proj.bias", {d});
  for (int64_t i = 0; i < c.depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    add_norm(block + "norm1");
    add_linear(block + "attn.qkv", d, 3 * d);
    add_linear(block + "attn.proj", d, d);
    add_norm(block + "norm2");
    add_linear(block + "mlp.fc1", d, m);
    add_linear(block + "mlp.fc2", m, d);
  }
  add_norm("norm");
  if (c.pooler) {
    map.push_back({"pre_logits.fc.weight", "pooler.dense.weight", {d, d}});  // as timm called the same layer once
    map.push_back({"pre_logits.fc.bias", "pooler.dense.bias", {d}});
  }
  add_linear("head", d, c.classes);
  return map;
}

// Our module path -> Hugging Face's, for a path without the final ".weight" or ".bias"; empty for the fused qkv.
std::string hf_module(const std::string& path) {
  static const std::pair<const char*, const char*> kParts[] = {
      {"norm1", "layernorm_before"},     {"norm2", "layernorm_after"}, {"attn.proj", "attention.output.dense"},
      {"mlp.fc1", "intermediate.dense"}, {"mlp.fc2", "output.dense"},
  };
  if (path == "cls_token") return "vit.embeddings.cls_token";
  if (path == "pos_embed") return "vit.embeddings.position_embeddings";
  if (path == "patch_embed.proj") return "vit.embeddings.patch_embeddings.projection";
  if (path == "norm") return "vit.layernorm";
  if (path == "pooler.dense") return "vit.pooler.dense";
  if (path == "head") return "classifier";
  const size_t dot = path.find('.', 7);  // "blocks.N."
  const std::string layer = "vit.encoder.layer." + path.substr(7, dot - 7) + ".", rest = path.substr(dot + 1);
  for (const auto& [ours, theirs] : kParts)
    if (rest == ours) return layer + theirs;
  return "";
}

}  // namespace

std::vector<NameEntry> name_map(const VitConfig& config, NameStyle style) {
  std::vector<NameEntry> timm = timm_names(config);
  if (style == NameStyle::kTimm) return timm;
  if (style == NameStyle::kGoogle) return google_names(config, timm);
  std::vector<NameEntry> map;
  for (NameEntry& e : timm) {
    const bool is_weight = e.path.ends_with(".weight"), is_bias = e.path.ends_with(".bias");
    const std::string suffix = is_weight ? ".weight" : is_bias ? ".bias" : "";
    const std::string module = e.path.substr(0, e.path.size() - suffix.size());
    const std::string external = hf_module(module);
    if (!external.empty()) {
      map.push_back({external + suffix, e.path, e.shape});
      continue;
    }
    const size_t dot = module.find('.', 7);
    Shape shape = e.shape;
    shape[0] = config.dim;
    int64_t row = 0;
    for (const char* part : {"query", "key", "value"}) {
      map.push_back({"vit.encoder.layer." + module.substr(7, dot - 7) + ".attention.attention." + part + suffix, e.path,
                     shape, row, config.dim});
      row += config.dim;
    }
  }
  return map;
}

std::vector<NameEntry> name_map(const Model& net) {
  std::vector<NameEntry> map;
  for (const auto& [path, tensor] : state_of(net)) map.push_back({path, path, tensor.shape()});
  return map;
}

Tensor rows_of_file(const NameEntry& e, const Tensor& in_file, const Shape& whole) {
  Shape shape = whole;
  if (e.rows > 0) shape[0] = e.rows;
  return (e.order.empty() ? in_file : in_file.permute(e.order)).reshape(shape);
}

Tensor file_of_rows(const NameEntry& e, const Tensor& parameter) {
  const Tensor rows = e.rows > 0 ? parameter.slice(0, e.row, e.rows) : parameter;
  if (e.order.empty()) return rows.reshape(e.shape);
  Shape permuted;
  std::vector<int64_t> back(e.order.size());
  for (size_t i = 0; i < e.order.size(); ++i) {
    permuted.push_back(e.shape[static_cast<size_t>(e.order[i])]);
    back[static_cast<size_t>(e.order[i])] = static_cast<int64_t>(i);
  }
  return rows.reshape(permuted).permute(back);
}

}  // namespace taut::nn
