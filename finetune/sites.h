// The places of a ViT where strategies put things: the four linear layers of a block.
#pragma once

#include <memory>
#include <string>

#include "nn/vit.h"

namespace taut::finetune {

enum class Site { kQkv, kProj, kFc1, kFc2 };
inline constexpr Site kAllSites[] = {Site::kQkv, Site::kProj, Site::kFc1, Site::kFc2};

const char* site_path(Site site);  // "attn.qkv", ...
const std::shared_ptr<nn::Layer>& layer_at(const nn::Block& block, Site site);
void replace_layer(nn::Block& block, Site site, std::shared_ptr<nn::Layer> layer);
// The plain linear layer at a site; throws Error(kUsage) if a strategy was applied there already.
std::shared_ptr<nn::Linear> linear_at(const nn::Block& block, Site site);

// "blocks.3.attn.qkv" and Hugging Face's module of the same layer, "vit.encoder.layer.3.attention.attention." (to which
// query, key or value is appended), "...intermediate.dense", ...
std::string block_path(int64_t block, Site site);
std::string hf_layer(int64_t block);

// A layer whose effect can be folded into one linear layer.
class Mergeable {
 public:
  virtual ~Mergeable() = default;
  virtual std::shared_ptr<nn::Linear> merged() const = 0;
};

// Freezes everything but the head.
void freeze_backbone(nn::Vit& vit);

}  // namespace taut::finetune
