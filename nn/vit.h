// Vision transformer (Dosovitskiy et al., 2021), pre-norm, as timm and Hugging Face build it. Parameter names are
// timm's.
//
//   tokens = concat(cls, patch_embed((x - mean) / std)) + pos_embed           x (b, channels, s, s) in [0, 1]
//   h1 = h + proj(attention(qkv(norm1 h)));   h2 = h1 + fc2(gelu(fc1(norm2 h1)))          for each block
//   logits = head(norm(h)[cls])
//
// Only the class token leaves the last block, so that block attends, projects and runs its MLP for that token alone,
// over the keys and values of all: the same numbers, about 6 % of ViT-B's work less.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/model.h"

namespace taut::nn {

struct VitConfig : ModelConfig {
  int64_t patch = 16;
  int64_t dim = 192;
  int64_t depth = 12;
  int64_t heads = 3;
  int64_t mlp = 768;
  double eps = 1e-6;    // layer norm: timm 1e-6, Hugging Face 1e-12
  bool pooler = false;  // Hugging Face's pooler: counted, never used

  int64_t grid() const { return image_size / patch; }
  int64_t tokens() const { return grid() * grid() + 1; }
  void check() const override;
  std::shared_ptr<ModelConfig> clone() const override { return std::make_shared<VitConfig>(*this); }
  std::shared_ptr<Model> build(DType dtype = DType::kF32) const override;
  const char* family() const override { return "vit"; }
  std::string description() const override;
  int64_t parameter_count() const override;  // without building it: a large one has a gigabyte
  // All tokens in every block: the convention of benchmarks.
  std::vector<LayerCost> layer_costs() const override;
};

class Attention : public Module {
 public:
  Attention(const VitConfig& config, DType dtype);
  // x (b, t, dim) -> (b, queries, dim), queries = 0: all t; `stream`, of that shape, is what it is added to, which a
  // layer in the place of proj may read (nn/branch_end.h).
  Var forward(const Var& x, int64_t queries, const Var& stream);

  std::shared_ptr<Layer> qkv, proj;
  void replace_qkv(std::shared_ptr<Layer> layer);
  void replace_proj(std::shared_ptr<Layer> layer);

 private:
  int64_t heads_;
};

class Mlp : public Module {
 public:
  Mlp(const VitConfig& config, DType dtype);
  Var forward(const Var& x, const Var& stream);  // as Attention's

  std::shared_ptr<Layer> fc1, fc2;
  void replace_fc1(std::shared_ptr<Layer> layer);
  void replace_fc2(std::shared_ptr<Layer> layer);
};

class Block : public Module {
 public:
  Block(const VitConfig& config, DType dtype);

  std::shared_ptr<LayerNorm> norm1, norm2;
  std::shared_ptr<Attention> attn;
  std::shared_ptr<Mlp> mlp;
};

class Vit : public Model {
 public:
  explicit Vit(const VitConfig& config, DType dtype = DType::kF32);

  ops::ImagePatches input() const override { return {config_.patch, config_.mean, config_.std, activations()}; }
  // The normalised class token of the last block, (b, dim).
  Var features_of(const Var& patches, const Shape& images) override;
  const VitConfig& config() const override { return config_; }
  std::vector<LayerSlot> slots() const override;

  std::vector<std::shared_ptr<Block>> blocks;

 private:
  void set_classes(int64_t classes) override { config_.classes = classes; }

  VitConfig config_;
  Var& cls_token_;
  Var& pos_embed_;
  std::shared_ptr<Linear> patch_embed_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace taut::nn
