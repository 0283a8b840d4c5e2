// Names of the ViT paper's .npz files (Dosovitskiy et al., 2021; github.com/google-research/vision_transformer). A
// dense kernel is (in, out), the patch kernel (p, p, c, d); attention keeps heads apart: q, k, v (d, heads, d / heads),
// out (heads, d / heads, d).
#include "nn/names_google.h"

namespace taut::nn {

std::vector<NameEntry> google_names(const VitConfig& c, const std::vector<NameEntry>& ours) {
  const int64_t d = c.dim, per_head = c.dim / c.heads;
  TAUT_CHECK(per_head * c.heads == d, "[names] expected a width that {} heads divide, got {}", c.heads, d);
  std::vector<NameEntry> map;
  const auto add_dense = [&](const std::string& name, const NameEntry& e, bool is_weight) {
    if (is_weight)
      map.push_back({name + "/kernel", e.path, {e.shape[1], e.shape[0]}, 0, 0, {1, 0}});
    else
      map.push_back({name + "/bias", e.path, e.shape});
  };
  for (const NameEntry& e : ours) {
    const bool is_weight = e.path.ends_with(".weight");
    const std::string module = e.path.substr(0, e.path.rfind('.'));
    const auto add_norm = [&](const std::string& name) {
      map.push_back({name + (is_weight ? "/scale" : "/bias"), e.path, e.shape});
    };
    if (e.path == "cls_token") {
      map.push_back({"cls", e.path, e.shape});
    } else if (e.path == "pos_embed") {
      map.push_back({"Transformer/posembed_input/pos_embedding", e.path, e.shape});
    } else if (module == "patch_embed.proj") {
      if (is_weight)
        map.push_back({"embedding/kernel", e.path, {c.patch, c.patch, c.channels, d}, 0, 0, {3, 2, 0, 1}});
      else
        map.push_back({"embedding/bias", e.path, e.shape});
    } else if (module == "norm") {
      add_norm("Transformer/encoder_norm");
    } else if (module == "pooler.dense") {
      add_dense("pre_logits", e, is_weight);
    } else if (module == "head") {
      add_dense("head", e, is_weight);
    } else {
      const size_t dot = module.find('.', 7);  // "blocks.N."
      const std::string block = "Transformer/encoderblock_" + module.substr(7, dot - 7) + "/";
      const std::string layer = module.substr(dot + 1), attention = block + "MultiHeadDotProductAttention_1/";
      if (layer == "norm1") {
        add_norm(block + "LayerNorm_0");
      } else if (layer == "norm2") {
        add_norm(block + "LayerNorm_2");
      } else if (layer == "mlp.fc1") {
        add_dense(block + "MlpBlock_3/Dense_0", e, is_weight);
      } else if (layer == "mlp.fc2") {
        add_dense(block + "MlpBlock_3/Dense_1", e, is_weight);
      } else if (layer == "attn.proj") {
        if (is_weight)
          map.push_back({attention + "out/kernel", e.path, {c.heads, per_head, d}, 0, 0, {2, 0, 1}});
        else
          map.push_back({attention + "out/bias", e.path, e.shape});
      } else {
        int64_t row = 0;
        for (const char* part : {"query", "key", "value"}) {
          if (is_weight)
            map.push_back({attention + part + "/kernel", e.path, {d, c.heads, per_head}, row, d, {1, 2, 0}});
          else
            map.push_back({attention + part + "/bias", e.path, {c.heads, per_head}, row, d});
          row += d;
        }
      }
    }
  }
  return map;
}

}  // namespace taut::nn
