#include "nn/vit.h"

#include <cmath>

#include "autograd/ops.h"
#include "nn/branch_end.h"
#include "nn/init.h"

namespace taut::nn {

void VitConfig::check() const {
  ModelConfig::check();
  const auto positive = [](const char* field, int64_t value) {
    TAUT_CHECK(value >= 1, "[vit] expected {} >= 1, got {}", field, value);
  };
  positive("patch", patch);
  positive("dim", dim);
  positive("depth", depth);
  positive("heads", heads);
  positive("mlp", mlp);
  TAUT_CHECK(image_size % patch == 0, "[vit] expected a patch that divides the image size {}, got {}", image_size,
             patch);
  TAUT_CHECK(dim % heads == 0, "[vit] expected a number of heads that divides dim {}, got {}", dim, heads);
  TAUT_CHECK(eps > 0, "[vit] expected eps > 0, got {}", eps);
}

std::shared_ptr<Model> VitConfig::build(DType dtype) const { return std::make_shared<Vit>(*this, dtype); }

std::string VitConfig::description() const {
  return fmt::format("vit {} {} {} {} {} {} {} {:.17g} {:.17g} {:.17g}", image_size, patch, channels, dim, depth, heads,
                     mlp, eps, fmt::join(mean, ","), fmt::join(std, ","));
}

int64_t VitConfig::parameter_count() const {
  const auto linear = [](int64_t in, int64_t out) { return (in + 1) * out; };
  const int64_t block = 4 * dim + linear(dim, 3 * dim) + linear(dim, dim) + linear(dim, mlp) + linear(mlp, dim);
  return (1 + tokens()) * dim + linear(patch * patch * channels, dim) + depth * block + 2 * dim +
         (pooler ? linear(dim, dim) : 0) + linear(dim, classes);
}

std::vector<LayerCost> VitConfig::layer_costs() const {
  std::vector<LayerCost> costs;
  const auto add = [&](const std::string& path, int64_t rows, int64_t in, int64_t out) {
    const Shape shape = rows == 1 ? Shape{out} : Shape{rows, out};
    costs.push_back(
        {path, shape, 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out)});
  };
  const int64_t t = tokens();
  add("patch_embed.proj", t - 1, patch * patch * channels, dim);
  for (int64_t i = 0; i < depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    add(block + "attn.qkv", t, dim, 3 * dim);
    add(block + "attn", t, 2 * t, dim);  // QK^T and PV
    add(block + "attn.proj", t, dim, dim);
    add(block + "mlp.fc1", t, dim, mlp);
    add(block + "mlp.fc2", t, mlp, dim);
  }
  add("head", 1, dim, classes);
  return costs;
}

namespace {

Var end_branch(Layer& layer, const Var& x, const Var& stream) {
  auto* reader = dynamic_cast<BranchEnd*>(&layer);
  return reader == nullptr ? layer.forward(x) : reader->forward_beside(x, stream);
}

}  // namespace

Attention::Attention(const VitConfig& config, DType dtype) : heads_(config.heads) {
  qkv = add_child("qkv", std::make_shared<Linear>(config.dim, 3 * config.dim, dtype));
  proj = add_child("proj", std::make_shared<Linear>(config.dim, config.dim, dtype));
}

Var Attention::forward(const Var& x, int64_t queries, const Var& stream) {
  const int64_t b = x.size(0), t = x.size(1), dim = x.size(2), d = dim / heads_;
  const Var projected = ops::reshape(qkv->forward(x), {b, t, 3, heads_, d});
  return end_branch(*proj, ops::attention(projected, 1 / std::sqrt(static_cast<double>(d)), queries), stream);
}

void Attention::replace_qkv(std::shared_ptr<Layer> layer) { set_child("qkv", qkv = std::move(layer)); }
void Attention::replace_proj(std::shared_ptr<Layer> layer) { set_child("proj", proj = std::move(layer)); }

Mlp::Mlp(const VitConfig& config, DType dtype) {
  fc1 = add_child("fc1", std::make_shared<Linear>(config.dim, config.mlp, dtype));
  fc2 = add_child("fc2", std::make_shared<Linear>(config.mlp, config.dim, dtype));
}

Var Mlp::forward(const Var& x, const Var& stream) { return end_branch(*fc2, fc1->forward_gelu(x), stream); }

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
    : Model("head", dtype),
      config_(checked(config)),
      cls_token_(add_parameter("cls_token", Tensor::zeros({1, 1, config.dim}, dtype))),
      pos_embed_(add_parameter("pos_embed", Tensor::zeros({1, config.tokens(), config.dim}, dtype))) {
  patch_embed_ = patch_projection(config, dtype);
  add_child("patch_embed", std::make_shared<PatchEmbed>(patch_embed_));
  for (int64_t i = 0; i < config.depth; ++i)
    blocks.push_back(add_child("blocks." + std::to_string(i), std::make_shared<Block>(config, dtype)));
  norm_ = add_child("norm", std::make_shared<LayerNorm>(config.dim, config.eps, dtype));
  if (config.pooler) add_child("pooler", std::make_shared<Pooler>(config.dim, dtype));
  add_head(config.dim, config.classes);
}

Var Vit::features_of(const Var& patches, const Shape& images) {
  Var h = ops::assemble_tokens(patch_embed_->forward(patches), cls_token_, pos_embed_);
  Var y = blocks[0]->norm1->forward(h);
  for (size_t i = 0; i + 1 < blocks.size(); ++i) {
    Block& block = *blocks[i];
    std::tie(h, y) = block.norm2->forward_residual(h, block.attn->forward(y, 0, h));
    std::tie(h, y) = blocks[i + 1]->norm1->forward_residual(h, block.mlp->forward(y, h));
  }
  // The last block, for the class token alone.
  Block& last = *blocks.back();
  const Var cls = ops::slice(h, 1, 0, 1);
  std::tie(h, y) = last.norm2->forward_residual(cls, last.attn->forward(y, 1, cls));
  y = norm_->forward_residual(h, last.mlp->forward(y, h)).second;
  return leave(ops::reshape(y, {images[0], config_.dim}));
}

std::vector<LayerSlot> Vit::slots() const {
  using Kind = LayerSlot::Kind;
  std::vector<LayerSlot> slots;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::shared_ptr<Block> block = blocks[i];
    const std::string path = "blocks." + std::to_string(i) + ".";
    const auto add = [&](Kind kind, const char* name, int64_t out, const std::shared_ptr<Layer>& layer, auto replace) {
      slots.push_back({kind, path + name, out, layer,
                       [block, replace](std::shared_ptr<Layer> with) { replace(*block, std::move(with)); }});
    };
    using New = std::shared_ptr<Layer>;
    add(Kind::kQkv, "attn.qkv", 3 * config_.dim, block->attn->qkv,
        [](Block& b, New l) { b.attn->replace_qkv(std::move(l)); });
    add(Kind::kProj, "attn.proj", config_.dim, block->attn->proj,
        [](Block& b, New l) { b.attn->replace_proj(std::move(l)); });
    add(Kind::kFc1, "mlp.fc1", config_.mlp, block->mlp->fc1, [](Block& b, New l) { b.mlp->replace_fc1(std::move(l)); });
    add(Kind::kFc2, "mlp.fc2", config_.dim, block->mlp->fc2, [](Block& b, New l) { b.mlp->replace_fc2(std::move(l)); });
  }
  return slots;
}

}  // namespace taut::nn
