#include "nn/vit.h"

#include <cmath>

#include "autograd/ops.h"
#include "nn/init.h"

namespace taut::nn {

void VitConfig::check() const {
  const auto positive = [](const char* field, int64_t value) {
    TAUT_CHECK(value >= 1, "[vit] expected {} >= 1, got {}", field, value);
  };
  positive("image_size", image_size);
  positive("patch", patch);
  positive("channels", channels);
  positive("dim", dim);
  positive("depth", depth);
  positive("heads", heads);
  positive("mlp", mlp);
  positive("classes", classes);
  TAUT_CHECK(image_size % patch == 0, "[vit] expected a patch that divides the image size {}, got {}", image_size,
             patch);
  TAUT_CHECK(dim % heads == 0, "[vit] expected a number of heads that divides dim {}, got {}", dim, heads);
  TAUT_CHECK(eps > 0, "[vit] expected eps > 0, got {}", eps);
  TAUT_CHECK(static_cast<int64_t>(mean.size()) == channels && static_cast<int64_t>(std.size()) == channels,
             "[vit] expected mean and std for {} channels, got {} and {}", channels, mean.size(), std.size());
  for (const double s : std) TAUT_CHECK(s > 0, "[vit] expected std > 0, got {}", s);
}

double VitConfig::forward_flops() const {
  const auto t = static_cast<double>(tokens()), d = static_cast<double>(dim), m = static_cast<double>(mlp);
  const double patches = (t - 1) * static_cast<double>(patch * patch * channels) * d;
  const double block = t * (3 * d * d + d * d + 2 * d * m) + 2 * t * t * d;
  return 2 * (patches + static_cast<double>(depth) * block + d * static_cast<double>(classes));
}

Attention::Attention(const VitConfig& config, DType dtype) : heads_(config.heads) {
  qkv = add_child("qkv", std::make_shared<Linear>(config.dim, 3 * config.dim, dtype));
  proj = add_child("proj", std::make_shared<Linear>(config.dim, config.dim, dtype));
}

Var Attention::forward(const Var& x, int64_t queries) {
  const int64_t b = x.size(0), t = x.size(1), dim = x.size(2), d = dim / heads_;
  const Var projected = ops::reshape(qkv->forward(x), {b, t, 3, heads_, d});
  return proj->forward(ops::attention(projected, 1 / std::sqrt(static_cast<double>(d)), queries));
}

void Attention::replace_qkv(std::shared_ptr<Layer> layer) { set_child("qkv", qkv = std::move(layer)); }
void Attention::replace_proj(std::shared_ptr<Layer> layer) { set_child("proj", proj = std::move(layer)); }

Mlp::Mlp(const VitConfig& config, DType dtype) {
  fc1 = add_child("fc1", std::make_shared<Linear>(config.dim, config.mlp, dtype));
  fc2 = add_child("fc2", std::make_shared<Linear>(config.mlp, config.dim, dtype));
}

Var Mlp::forward(const Var& x) { return fc2->forward(fc1->forward_gelu(x)); }

void Mlp::replace_fc1(std::shared_ptr<Layer> layer) { set_child("fc1", fc1 = std::move(layer)); }
void Mlp::replace_fc2(std::shared_ptr<Layer> layer) { set_child("fc2", fc2 = std::move(layer)); }

Block::Block(const VitConfig& config, DType dtype) {
  norm1 = add_child("norm1", std::make_shared<LayerNorm>(config.dim, config.eps, dtype));
  attn = add_child("attn", std::make_shared<Attention>(config, dtype));
  norm2 = add_child("norm2", std::make_shared<LayerNorm>(config.dim, config.eps, dtype));
  mlp = add_child("mlp", std::make_shared<Mlp>(config, dtype));
}

namespace {

const VitConfig& checked(const VitConfig& config) {
  config.check();
  return config;
}

// Hugging Face's pooler: parameters that count and never enter the function.
class Pooler : public Module {
 public:
  Pooler(int64_t dim, DType dtype) { add_child("dense", std::make_shared<Linear>(dim, dim, dtype)); }
};

// The patch projection of a ViT: a linear layer over (c, row, column) whose weight has the shape of a convolution's.
std::shared_ptr<Linear> patch_projection(const VitConfig& c, DType dtype) {
  return std::make_shared<Linear>(c.channels * c.patch * c.patch, c.dim, dtype);
}

// A child called "patch_embed" that holds the projection as "proj", as timm names it.
class PatchEmbed : public Module {
 public:
  explicit PatchEmbed(std::shared_ptr<Linear> proj) { add_child("proj", std::move(proj)); }
};

}  // namespace

Vit::Vit(const VitConfig& config, DType dtype)
    : config_(checked(config)),
      dtype_(dtype),
      cls_token_(add_parameter("cls_token", Tensor::zeros({1, 1, config.dim}, dtype))),
      pos_embed_(add_parameter("pos_embed", Tensor::zeros({1, config.tokens(), config.dim}, dtype))) {
  patch_embed_ = patch_projection(config, dtype);
  add_child("patch_embed", std::make_shared<PatchEmbed>(patch_embed_));
  for (int64_t i = 0; i < config.depth; ++i)
    blocks.push_back(add_child("blocks." + std::to_string(i), std::make_shared<Block>(config, dtype)));
  norm_ = add_child("norm", std::make_shared<LayerNorm>(config.dim, config.eps, dtype));
  if (config.pooler) add_child("pooler", std::make_shared<Pooler>(config.dim, dtype));
  head = add_child("head", std::make_shared<Linear>(config.dim, config.classes, dtype));
}

Var Vit::features(const Var& images) {
  const VitConfig& c = config_;
  TAUT_CHECK(images.defined() && images.value().ndim() == 4 && images.size(1) == c.channels &&
                 images.size(2) == c.image_size && images.size(3) == c.image_size,
             "[vit] expected images (b, {}, {}, {}), got {}", c.channels, c.image_size, c.image_size,
             images.defined() ? to_string(images.shape()) : "none");
  Var h = ops::assemble_tokens(patch_embed_->forward(ops::patchify(images, c.patch, c.mean, c.std)), cls_token_,
                               pos_embed_);
  Var y = blocks[0]->norm1->forward(h);
  for (size_t i = 0; i + 1 < blocks.size(); ++i) {
    Block& block = *blocks[i];
    std::tie(h, y) = block.norm2->forward_residual(h, block.attn->forward(y, 0));
    std::tie(h, y) = blocks[i + 1]->norm1->forward_residual(h, block.mlp->forward(y));
  }
  // The last block, for the class token alone.
  Block& last = *blocks.back();
  const Var cls = ops::slice(h, 1, 0, 1);
  std::tie(h, y) = last.norm2->forward_residual(cls, last.attn->forward(y, 1));
  y = norm_->forward_residual(h, last.mlp->forward(y)).second;
  return ops::reshape(y, {images.size(0), c.dim});
}

Var Vit::classify(const Var& features) { return head->forward(features); }

Var Vit::forward(const Var& images) { return classify(features(images)); }

void Vit::reset_head(int64_t classes, uint64_t seed) {
  VitConfig config = config_;
  config.classes = classes;
  config.check();
  config_ = config;
  auto fresh = std::make_shared<Linear>(config_.dim, classes, dtype_);
  Tensor weight = fresh->weight.value();
  fill_normal(weight, 0.02, seed, "head.weight");
  fresh->weight.set_requires_grad(head->weight.requires_grad());
  fresh->bias.set_requires_grad(head->bias.requires_grad());
  set_child("head", head = std::move(fresh));
}

}  // namespace taut::nn
