#include "finetune/sites.h"

namespace taut::finetune {

const char* site_path(Site site) {
  switch (site) {
    case Site::kQkv: return "attn.qkv";
    case Site::kProj: return "attn.proj";
    case Site::kFc1: return "mlp.fc1";
    case Site::kFc2: return "mlp.fc2";
  }
  return "?";
}

const std::shared_ptr<nn::Layer>& layer_at(const nn::Block& block, Site site) {
  switch (site) {
    case Site::kQkv: return block.attn->qkv;
    case Site::kProj: return block.attn->proj;
    case Site::kFc1: return block.mlp->fc1;
    case Site::kFc2: break;
  }
  return block.mlp->fc2;
}

void replace_layer(nn::Block& block, Site site, std::shared_ptr<nn::Layer> layer) {
  switch (site) {
    case Site::kQkv: return block.attn->replace_qkv(std::move(layer));
    case Site::kProj: return block.attn->replace_proj(std::move(layer));
    case Site::kFc1: return block.mlp->replace_fc1(std::move(layer));
    case Site::kFc2: return block.mlp->replace_fc2(std::move(layer));
  }
}

std::shared_ptr<nn::Linear> linear_at(const nn::Block& block, Site site) {
  auto linear = std::dynamic_pointer_cast<nn::Linear>(layer_at(block, site));
  TAUT_CHECK(linear != nullptr, "[finetune] expected a plain layer at {}; a strategy was applied to this model already",
             site_path(site));
  return linear;
}

std::string block_path(int64_t block, Site site) { return "blocks." + std::to_string(block) + "." + site_path(site); }
std::string hf_layer(int64_t block) { return "vit.encoder.layer." + std::to_string(block) + "."; }

void freeze_backbone(nn::Vit& vit) {
  vit.set_requires_grad(false);
  vit.head->set_requires_grad(true);
}

}  // namespace taut::finetune
