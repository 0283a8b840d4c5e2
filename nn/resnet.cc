#include "nn/resnet.h"

namespace taut::nn {
namespace {

using Kind = ResNetConfig::Kind;
using Names = ResNetConfig::Names;

// What one convolution of a block is called and does.
struct ConvSpec {
  std::string name;
  int64_t in, out, kernel, stride;

  ops::Conv2d how() const { return {.stride = stride, .padding = kernel / 2}; }
};

// One block of a net.
struct BlockSpec {
  std::string path;
  int64_t in, out, stride;
  std::vector<ConvSpec> convs;
  bool project;  // a convolution in the shortcut
  ConvSpec projection;
};

std::string block_path(Names names, size_t stage, int64_t i) {
  if (names == Names::kWide) return fmt::format("block{}.layer.{}", stage + 1, i);
  return fmt::format("layer{}.{}", stage + 1, i);
}

const char* projection_name(Names names) {
  switch (names) {
    case Names::kTorchvision: return "downsample.0";
    case Names::kWide: return "convShortcut";
    case Names::kAkamaster:
    case Names::kPreAct: break;
  }
  return "shortcut.0";
}

const char* head_name(Names names) { return names == Names::kTorchvision || names == Names::kWide ? "fc" : "linear"; }

std::vector<BlockSpec> block_specs(const ResNetConfig& c) {
  std::vector<BlockSpec> blocks;
  int64_t in = c.stem;
  for (size_t stage = 0; stage < c.planes.size(); ++stage) {
    for (int64_t i = 0; i < c.depths[stage]; ++i) {
      const int64_t planes = c.planes[stage], out = planes * c.expansion(), stride = stage > 0 && i == 0 ? 2 : 1;
      BlockSpec b{block_path(c.names, stage, i), in, out, stride, {}, false, {}};
      if (c.kind == Kind::kBottleneck)
        b.convs = {{"conv1", in, planes, 1, 1}, {"conv2", planes, planes, 3, stride}, {"conv3", planes, out, 1, 1}};
      else
        b.convs = {{"conv1", in, planes, 3, stride}, {"conv2", planes, planes, 3, 1}};
      b.project = c.shortcut == ResNetConfig::Shortcut::kProjection && (stride != 1 || in != out);
      b.projection = {projection_name(c.names), in, out, 1, stride};
      blocks.push_back(std::move(b));
      in = out;
    }
  }
  return blocks;
}

ConvSpec stem_spec(const ResNetConfig& c) {
  return c.large_stem ? ConvSpec{"conv1", c.channels, c.stem, 7, 2} : ConvSpec{"conv1", c.channels, c.stem, 3, 1};
}

std::shared_ptr<Place> make_place(const ConvSpec& s, DType dtype) {
  return std::make_shared<Place>(std::make_shared<Conv>(s.in, s.out, s.kernel, s.how(), false, dtype));
}

// Every second pixel where `stride` is 2, channels padded with zeros on both sides.
Var zero_padding_shortcut(const Var& x, int64_t stride, int64_t out) {
  const Var y = stride == 1 ? x : ops::avg_pool(x, 1, stride);
  const int64_t missing = out - y.size(3);
  if (missing == 0) return y;
  const auto zeros = [&](int64_t channels) {
    return Var(Tensor::zeros({y.size(0), y.size(1), y.size(2), channels}, y.dtype(), y.value().device()));
  };
  return ops::concat({zeros(missing / 2), y, zeros(missing - missing / 2)}, 3);
}

const ResNetConfig& checked(const ResNetConfig& config) {
  config.check();
  return config;
}

}  // namespace

class ResidualBlock : public Module {
 public:
  ResidualBlock(const BlockSpec& spec, const ResNetConfig& config, DType dtype)
      : kind_(config.kind), pads_(config.shortcut == ResNetConfig::Shortcut::kZeroPadding), spec_(spec) {
    for (size_t i = 0; i < spec.convs.size(); ++i) {
      const ConvSpec& conv = spec.convs[i];
      convs_.push_back(add_child(conv.name, make_place(conv, dtype)));
      const int64_t channels = kind_ == Kind::kPreAct ? conv.in : conv.out;
      norms_.push_back(add_child(fmt::format("bn{}", i + 1), std::make_shared<BatchNorm>(channels, dtype)));
    }
    if (spec.project) {
      projection_ = add_child(spec.projection.name, make_place(spec.projection, dtype));
      if (kind_ != Kind::kPreAct) {
        // "downsample.0" is the convolution, "downsample.1" its norm.
        const std::string& name = spec.projection.name;
        projection_norm_ =
            add_child(name.substr(0, name.size() - 1) + "1", std::make_shared<BatchNorm>(spec.out, dtype));
      }
    }
    end_ = add_child("adapter", std::make_shared<Place>(nullptr));
  }

  Var forward(const Var& x) { return kind_ == Kind::kPreAct ? pre_activated(x) : post_activated(x); }

  void add_slots(std::vector<LayerSlot>& slots) const {
    const auto add = [&](LayerSlot::Kind kind, const std::string& name, int64_t out,
                         const std::shared_ptr<Place>& place) {
      slots.push_back({kind, spec_.path + "." + name, out, place->layer(),
                       [place](std::shared_ptr<Layer> layer) { place->replace(std::move(layer)); }});
    };
    for (size_t i = 0; i < convs_.size(); ++i)
      add(LayerSlot::Kind::kConv, spec_.convs[i].name, spec_.convs[i].out, convs_[i]);
    if (projection_ != nullptr) add(LayerSlot::Kind::kConv, spec_.projection.name, spec_.out, projection_);
    add(LayerSlot::Kind::kBranchEnd, "adapter", spec_.out, end_);
  }

 private:
  Var shortcut(const Var& x) {
    if (projection_ != nullptr) {
      const Var y = projection_->forward(x);
      return projection_norm_ == nullptr ? y : projection_norm_->forward(y, false);
    }
    return pads_ ? zero_padding_shortcut(x, spec_.stride, spec_.out) : x;
  }

  Var post_activated(const Var& x) {
    Var y = x;
    for (size_t i = 0; i + 1 < convs_.size(); ++i) y = norms_[i]->forward(convs_[i]->forward(y), true);
    y = convs_.back()->forward(y);
    const Var s = shortcut(x);
    if (end_->layer() == nullptr) return norms_.back()->forward(y, true, s);
    return ops::relu(ops::add(end_->forward(norms_.back()->forward(y, false)), s));
  }

  Var pre_activated(const Var& x) {
    const Var a = norms_[0]->forward(x, true);
    const Var s = projection_ != nullptr ? shortcut(a) : x;
    Var y = convs_[0]->forward(a);
    for (size_t i = 1; i < convs_.size(); ++i) y = convs_[i]->forward(norms_[i]->forward(y, true));
    return ops::add(end_->forward(y), s);
  }

  Kind kind_;
  bool pads_;
  BlockSpec spec_;
  std::vector<std::shared_ptr<Place>> convs_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;
  std::shared_ptr<Place> projection_;           // null: the shortcut has no parameters
  std::shared_ptr<BatchNorm> projection_norm_;  // null: none
  std::shared_ptr<Place> end_;
};

void ResNetConfig::check() const {
  ModelConfig::check();
  TAUT_CHECK(stem >= 1, "[resnet] expected a stem of at least one channel, got {}", stem);
  TAUT_CHECK(!planes.empty() && planes.size() == depths.size(),
             "[resnet] expected planes and depths for each stage, got {} and {}", planes.size(), depths.size());
  for (const int64_t p : planes) TAUT_CHECK(p >= 1, "[resnet] expected planes >= 1, got {}", p);
  for (const int64_t d : depths) TAUT_CHECK(d >= 1, "[resnet] expected depths >= 1, got {}", d);
  TAUT_CHECK(image_size >= reduction(), "[resnet] expected images of at least {} pixels a side, got {}", reduction(),
             image_size);
  TAUT_CHECK(kind != Kind::kPreAct || shortcut == Shortcut::kProjection,
             "[resnet] expected projections in the shortcuts of pre-activated blocks");
}

std::shared_ptr<Model> ResNetConfig::build(DType dtype) const { return std::make_shared<ResNet>(*this, dtype); }

std::string ResNetConfig::description() const {
  return fmt::format("resnet {} {} {} {} {} {} {} {} {} {:.17g} {:.17g}", image_size, channels, static_cast<int>(kind),
                     static_cast<int>(shortcut), static_cast<int>(names), large_stem, stem, fmt::join(planes, ","),
                     fmt::join(depths, ","), fmt::join(mean, ","), fmt::join(std, ","));
}

std::vector<LayerCost> ResNetConfig::layer_costs() const {
  std::vector<LayerCost> costs;
  const auto add = [&](const std::string& path, const ConvSpec& s, int64_t size) {
    const int64_t out = conv_size(size, s.kernel, s.how()).h;
    costs.push_back(
        {path, {out, out, s.out}, 2.0 * static_cast<double>(out * out * s.out * s.in * s.kernel * s.kernel)});
    return out;
  };
  const ConvSpec stem_conv = stem_spec(*this);
  int64_t size = add(stem_conv.name, stem_conv, image_size);
  if (large_stem) size = (size + 1) / 2;
  for (const BlockSpec& b : block_specs(*this)) {
    int64_t inside = size;
    for (const ConvSpec& s : b.convs) inside = add(b.path + "." + s.name, s, inside);
    if (b.project) add(b.path + "." + b.projection.name, b.projection, size);
    size = inside;
  }
  costs.push_back({head_name(names), {classes}, 2.0 * static_cast<double>(feature_size() * classes)});
  return costs;
}

ResNet::ResNet(const ResNetConfig& config, DType dtype)
    : Model(head_name(config.names), dtype), config_(checked(config)) {
  stem_ = add_child("conv1", make_place(stem_spec(config), dtype));
  if (config.kind != Kind::kPreAct) norm_ = add_child("bn1", std::make_shared<BatchNorm>(config.stem, dtype));
  for (const BlockSpec& spec : block_specs(config))
    blocks_.push_back(add_child(spec.path, std::make_shared<ResidualBlock>(spec, config, dtype)));
  if (config.final_norm()) norm_ = add_child("bn1", std::make_shared<BatchNorm>(config.feature_size(), dtype));
  add_head(config.feature_size(), config.classes);
}

void ResNet::check_images(const Var& images) const {
  const int64_t least = config_.reduction();
  TAUT_CHECK(images.defined() && images.value().ndim() == 4 && images.size(1) == config_.channels &&
                 images.size(2) >= least && images.size(3) >= least,
             "[resnet] expected images (b, {}, h, w) of at least {} pixels a side, got {}", config_.channels, least,
             images.defined() ? to_string(images.shape()) : "none");
}

Var ResNet::features_of(const Var& patches, const Shape& images) {
  Var h = stem_->forward(as_image(patches, images));
  if (norm_ != nullptr && !config_.final_norm()) h = norm_->forward(h, true);
  if (config_.large_stem) h = ops::max_pool(h, 3, 2, 1);
  for (const auto& block : blocks_) h = block->forward(h);
  if (config_.final_norm()) h = norm_->forward(h, true);
  return leave(ops::reshape(ops::adaptive_avg_pool(h, 1, 1), {images[0], config_.feature_size()}));
}

std::vector<LayerSlot> ResNet::slots() const {
  std::vector<LayerSlot> slots = {
      {LayerSlot::Kind::kConv, "conv1", config_.stem, stem_->layer(),
       [place = stem_](std::shared_ptr<Layer> layer) { place->replace(std::move(layer)); }}};
  for (const auto& block : blocks_) block->add_slots(slots);
  return slots;
}

}  // namespace taut::nn
