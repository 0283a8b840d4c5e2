// Vision transformer (Dosovitskiy et al., 2021), pre-norm, as timm and Hugging Face build it. Parameter names are
// timm's.
//
//   tokens = concat(cls, patch_embed((x - mean) / std)) + pos_embed           x (b, channels, s, s) in [0, 1]
//   h1 = h + proj(attention(qkv(norm1 h)));   h2 = h1 + fc2(gelu(fc1(norm2 h1)))          for each block
//   logits = head(norm(h)[cls])
//
// Only the class token leaves the last block, so that block computes its queries, projection and MLP for that token
// alone: the same numbers, a twelfth of ViT-B's work less.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/layer.h"

namespace taut::nn {

struct VitConfig {
  int64_t image_size = 224;
  int64_t patch = 16;
  int64_t channels = 3;
  int64_t dim = 192;
  int64_t depth = 12;
  int64_t heads = 3;
  int64_t mlp = 768;
  int64_t classes = 1000;
  double eps = 1e-6;                           // layer norm: timm 1e-6, Hugging Face 1e-12
  bool pooler = false;                         // Hugging Face's pooler: counted, never used
  std::vector<double> mean = {0.5, 0.5, 0.5};  // per channel, applied inside the model
  std::vector<double> std = {0.5, 0.5, 0.5};

  int64_t grid() const { return image_size / patch; }
  int64_t tokens() const { return grid() * grid() + 1; }
  // Throws Error(kUsage) naming the field that does not fit.
  void check() const;
  // 2 x multiply-adds of linear layers, QK^T and PV for one image, all tokens in every block: the convention of
  // benchmarks.
  double forward_flops() const;
};

class Attention : public Module {
 public:
  Attention(const VitConfig& config, DType dtype);
  // x (b, t, dim) -> (b, queries, dim), queries = 0: all t.
  Var forward(const Var& x, int64_t queries);

  std::shared_ptr<Layer> qkv, proj;
  void replace_qkv(std::shared_ptr<Layer> layer);
  void replace_proj(std::shared_ptr<Layer> layer);

 private:
  int64_t heads_;
};

class Mlp : public Module {
 public:
  Mlp(const VitConfig& config, DType dtype);
  Var forward(const Var& x);

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

class Vit : public Module {
 public:
  // Zero-initialised (norm gains one); see nn/init.h and nn/weights.h.
  explicit Vit(const VitConfig& config, DType dtype = DType::kF32);

  // images (b, channels, image_size, image_size) in [0, 1] -> logits (b, classes).
  Var forward(const Var& images);
  // The normalised class token of the last block, (b, dim): what the head sees.
  Var features(const Var& images);
  Var classify(const Var& features);  // the head alone

  const VitConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  // A new head of `classes` outputs, weight N(0, 0.02), bias 0, drawn from `seed`.
  void reset_head(int64_t classes, uint64_t seed);

  std::vector<std::shared_ptr<Block>> blocks;
  std::shared_ptr<Linear> head;

 private:
  VitConfig config_;
  DType dtype_;
  Var& cls_token_;
  Var& pos_embed_;
  std::shared_ptr<Linear> patch_embed_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace taut::nn
