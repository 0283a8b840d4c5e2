// What strategies share: the plain layers at a model's places, what can be folded into one, what is frozen.
#pragma once

#include <memory>
#include <string>

#include "nn/conv.h"
#include "nn/model.h"

namespace taut::finetune {

// The plain layer at a place; throws Error(kUsage) if a strategy was applied there already.
std::shared_ptr<nn::Linear> linear_at(const nn::LayerSlot& slot);
std::shared_ptr<nn::Conv> conv_at(const nn::LayerSlot& slot);

// Hugging Face's module of a ViT's block, "vit.encoder.layer.3.".
std::string hf_layer(int64_t block);

// Weight and bias (undefined: none) of one plain layer.
struct Folded {
  Tensor weight, bias;
};
// A frozen weight as f32 where it is stored in bf16: what is folded is rounded once, when it is done.
Var whole(const Var& weight);
// A layer whose effect can be folded into the layer it was put around.
class Mergeable {
 public:
  virtual ~Mergeable() = default;
  virtual Folded folded() const = 0;
};

// Freezes everything but the head.
void freeze_backbone(nn::Model& model);

// A gain or bias of a normalisation layer, by its path: a part that contains "norm" or is "bn1", "bn2", ..., or the
// second layer of a projection in a shortcut.
bool is_norm_parameter(const std::string& path);
// The model normalises by batches.
bool has_batch_norm(const nn::Model& model);

}  // namespace taut::finetune
