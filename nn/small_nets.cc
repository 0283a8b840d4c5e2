#include "nn/small_nets.h"

namespace taut::nn {
namespace {

const std::string kFlat = "a net whose linear layers see the whole image";

struct ConvSpec {
  std::string path;
  int64_t in, out, kernel, stride, padding;

  ops::Conv2d how() const { return {.stride = stride, .padding = padding}; }
  int64_t size(int64_t before) const { return conv_size(before, kernel, how()).h; }
};

std::shared_ptr<Place> make_place(const ConvSpec& s, DType dtype) {
  return std::make_shared<Place>(std::make_shared<Conv>(s.in, s.out, s.kernel, s.how(), true, dtype));
}

LayerCost cost(const ConvSpec& s, int64_t before) {
  const int64_t size = s.size(before);
  return {s.path, {size, size, s.out}, 2.0 * static_cast<double>(size * size * s.out * s.in * s.kernel * s.kernel)};
}
LayerCost cost(const std::string& path, int64_t in, int64_t out) {
  return {path, {out}, 2.0 * static_cast<double>(in * out)};
}

LayerSlot slot(LayerSlot::Kind kind, const std::string& path, int64_t out, const std::shared_ptr<Place>& place) {
  return {kind, path, out, place->layer(), [place](std::shared_ptr<Layer> layer) { place->replace(std::move(layer)); }};
}

// ---- VNN-COMP -------------------------------------------------------------------------------------------------------

struct BlockSpec {
  std::string path;
  ConvSpec conv1, conv2, shortcut;
  bool project;
};

std::vector<BlockSpec> block_specs(const VnncompConfig& c) {
  std::vector<BlockSpec> specs;
  int64_t in = c.stem;
  for (const PlainBlock& b : c.blocks) {
    const std::string path = fmt::format("layer{}.{}", b.stage, b.index);
    specs.push_back({path,
                     {path + ".conv1", in, b.planes, 3, b.stride, 1},
                     {path + ".conv2", b.planes, b.planes, 3, 1, 1},
                     {path + ".shortcut.0", in, b.planes, 1, b.stride, 0},
                     b.stride != 1 || in != b.planes});
    in = b.planes;
  }
  return specs;
}

ConvSpec stem_spec(const VnncompConfig& c) { return {"conv1", c.channels, c.stem, 3, 2, 1}; }

// Inputs of linear1.
int64_t flat_size(const VnncompConfig& c) {
  int64_t size = stem_spec(c).size(c.image_size), planes = c.stem;
  for (const BlockSpec& b : block_specs(c)) {
    size = b.conv1.size(size);
    planes = b.conv2.out;
  }
  return planes * size * size;
}

class VnncompNet : public Model {
 public:
  VnncompNet(const VnncompConfig& config, DType dtype) : Model("linear2", dtype), config_(config) {
    config.check();
    const auto add_conv = [&](const ConvSpec& s) { return add_child(s.path, make_place(s, dtype)); };
    stem_ = add_conv(stem_spec(config));
    for (const BlockSpec& b : block_specs(config)) {
      Block block{b, add_conv(b.conv1), add_conv(b.conv2), nullptr, nullptr};
      if (b.project) block.shortcut = add_conv(b.shortcut);
      block.end = add_child(b.path + ".adapter", std::make_shared<Place>(nullptr));
      blocks_.push_back(std::move(block));
    }
    linear1_ = add_child("linear1",
                         std::make_shared<Place>(std::make_shared<Linear>(flat_size(config), config.hidden, dtype)));
    add_head(config.hidden, config.classes);
  }

  ops::ImagePatches input() const override { return single_pixels(config_.mean, config_.std, activations()); }
  Var features_of(const Var& patches, const Shape& images) override {
    Var h = ops::relu(stem_->forward(as_image(patches, images)));
    for (const Block& b : blocks_) {
      const Var y = b.end->forward(b.conv2->forward(ops::relu(b.conv1->forward(h))));
      h = ops::relu(ops::add(y, b.shortcut == nullptr ? h : b.shortcut->forward(h)));
    }
    return leave(ops::relu(linear1_->forward(flatten_as_channels_first(h))));
  }

  const VnncompConfig& config() const override { return config_; }

  std::vector<LayerSlot> slots() const override {
    using Kind = LayerSlot::Kind;
    std::vector<LayerSlot> slots = {slot(Kind::kConv, "conv1", config_.stem, stem_)};
    for (const Block& b : blocks_) {
      slots.push_back(slot(Kind::kConv, b.spec.conv1.path, b.spec.conv1.out, b.conv1));
      slots.push_back(slot(Kind::kConv, b.spec.conv2.path, b.spec.conv2.out, b.conv2));
      if (b.shortcut != nullptr)
        slots.push_back(slot(Kind::kConv, b.spec.shortcut.path, b.spec.shortcut.out, b.shortcut));
      slots.push_back(slot(Kind::kBranchEnd, b.spec.path + ".adapter", b.spec.conv2.out, b.end));
    }
    slots.push_back(slot(Kind::kLinear, "linear1", config_.hidden, linear1_));
    return slots;
  }

 private:
  struct Block {
    BlockSpec spec;
    std::shared_ptr<Place> conv1, conv2, shortcut, end;
  };
  void set_classes(int64_t classes) override { config_.classes = classes; }

  VnncompConfig config_;
  std::shared_ptr<Place> stem_, linear1_;
  std::vector<Block> blocks_;
};

// ---- TRADES SmallCNN ------------------------------------------------------------------------------------------------

constexpr int64_t kHidden = 200;

std::vector<ConvSpec> small_cnn_convs(const SmallCnnConfig& c) {
  return {{"feature_extractor.conv1", c.channels, 32, 3, 1, 0},
          {"feature_extractor.conv2", 32, 32, 3, 1, 0},
          {"feature_extractor.conv3", 32, 64, 3, 1, 0},
          {"feature_extractor.conv4", 64, 64, 3, 1, 0}};
}

// Side of the image that conv `i` sees, and (i = 4) of what is flattened.
int64_t small_cnn_size(const SmallCnnConfig& c, size_t i) {
  int64_t size = c.image_size;
  for (size_t k = 0; k < i; ++k) size = (size - 2) / (k % 2 == 1 ? 2 : 1);
  return size;
}

int64_t flat_size(const SmallCnnConfig& c) { return 64 * small_cnn_size(c, 4) * small_cnn_size(c, 4); }

class SmallCnn : public Model {
 public:
  SmallCnn(const SmallCnnConfig& config, DType dtype) : Model("classifier.fc3", dtype), config_(config) {
    config.check();
    for (const ConvSpec& s : small_cnn_convs(config)) convs_.push_back(add_child(s.path, make_place(s, dtype)));
    const auto add_linear = [&](const char* path, int64_t in) {
      return add_child(path, std::make_shared<Place>(std::make_shared<Linear>(in, kHidden, dtype)));
    };
    fc1_ = add_linear("classifier.fc1", flat_size(config));
    fc2_ = add_linear("classifier.fc2", kHidden);
    add_head(kHidden, config.classes);
  }

  ops::ImagePatches input() const override { return single_pixels(config_.mean, config_.std, activations()); }
  Var features_of(const Var& patches, const Shape& images) override {
    Var h = as_image(patches, images);
    for (size_t i = 0; i < convs_.size(); ++i) {
      h = ops::relu(convs_[i]->forward(h));
      if (i % 2 == 1) h = ops::max_pool(h, 2);
    }
    return leave(ops::relu(fc2_->forward(ops::relu(fc1_->forward(flatten_as_channels_first(h))))));
  }

  const SmallCnnConfig& config() const override { return config_; }

  std::vector<LayerSlot> slots() const override {
    std::vector<LayerSlot> slots;
    const std::vector<ConvSpec> specs = small_cnn_convs(config_);
    for (size_t i = 0; i < convs_.size(); ++i)
      slots.push_back(slot(LayerSlot::Kind::kConv, specs[i].path, specs[i].out, convs_[i]));
    slots.push_back(slot(LayerSlot::Kind::kLinear, "classifier.fc1", kHidden, fc1_));
    slots.push_back(slot(LayerSlot::Kind::kLinear, "classifier.fc2", kHidden, fc2_));
    return slots;
  }

 private:
  void set_classes(int64_t classes) override { config_.classes = classes; }

  SmallCnnConfig config_;
  std::vector<std::shared_ptr<Place>> convs_;
  std::shared_ptr<Place> fc1_, fc2_;
};

}  // namespace

VnncompConfig::VnncompConfig() {
  image_size = 32;
  classes = 10;
  mean = {0.4914, 0.4822, 0.4465};
  std = {0.2471, 0.2435, 0.2616};
  images.resize = ImageRecipe::Resize::kNone;
}

void VnncompConfig::check() const {
  ModelConfig::check();
  TAUT_CHECK(image_size == 32, "[vnncomp] expected images of 32 pixels a side, got {}; hint: it is {}", image_size,
             kFlat);
}

std::shared_ptr<Model> VnncompConfig::build(DType dtype) const { return std::make_shared<VnncompNet>(*this, dtype); }

std::string VnncompConfig::description() const {
  std::string text = fmt::format("vnncomp {} {} {}", channels, stem, hidden);
  for (const PlainBlock& b : blocks) text += fmt::format(" {}.{}:{}/{}", b.stage, b.index, b.planes, b.stride);
  return text + fmt::format(" {:.17g} {:.17g}", fmt::join(mean, ","), fmt::join(std, ","));
}

std::vector<LayerCost> VnncompConfig::layer_costs() const {
  const ConvSpec first = stem_spec(*this);
  std::vector<LayerCost> costs = {cost(first, image_size)};
  int64_t size = first.size(image_size);
  for (const BlockSpec& b : block_specs(*this)) {
    const int64_t inside = b.conv1.size(size);
    costs.push_back(cost(b.conv1, size));
    costs.push_back(cost(b.conv2, inside));
    if (b.project) costs.push_back(cost(b.shortcut, size));
    size = inside;
  }
  costs.push_back(cost("linear1", flat_size(*this), hidden));
  costs.push_back(cost("linear2", hidden, classes));
  return costs;
}

VnncompConfig vnncomp_resnet_2b() {
  VnncompConfig c;
  c.stem = 8;
  c.blocks = {{1, 0, 16, 2}, {1, 1, 16, 1}};
  return c;
}

VnncompConfig vnncomp_resnet_4b() {
  VnncompConfig c;
  c.stem = 16;
  c.blocks = {{1, 0, 32, 2}, {1, 1, 32, 1}, {2, 0, 32, 2}, {2, 1, 32, 1}};
  return c;
}

SmallCnnConfig::SmallCnnConfig() {
  image_size = 28;
  channels = 1;
  classes = 10;
  mean = {0};
  std = {1};
  images.resize = ImageRecipe::Resize::kNone;
}

void SmallCnnConfig::check() const {
  ModelConfig::check();
  TAUT_CHECK(image_size == 28, "[small_cnn] expected images of 28 pixels a side, got {}; hint: it is {}", image_size,
             kFlat);
}

std::shared_ptr<Model> SmallCnnConfig::build(DType dtype) const { return std::make_shared<SmallCnn>(*this, dtype); }

std::string SmallCnnConfig::description() const {
  return fmt::format("small_cnn {} {:.17g} {:.17g}", channels, fmt::join(mean, ","), fmt::join(std, ","));
}

std::vector<LayerCost> SmallCnnConfig::layer_costs() const {
  std::vector<LayerCost> costs;
  const std::vector<ConvSpec> convs = small_cnn_convs(*this);
  for (size_t i = 0; i < convs.size(); ++i) costs.push_back(cost(convs[i], small_cnn_size(*this, i)));
  costs.push_back(cost("classifier.fc1", flat_size(*this), kHidden));
  costs.push_back(cost("classifier.fc2", kHidden, kHidden));
  costs.push_back(cost("classifier.fc3", kHidden, classes));
  return costs;
}

}  // namespace taut::nn
