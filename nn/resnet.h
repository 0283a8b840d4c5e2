// Residual nets with batch norm, under the parameter names of the code bases whose weights people have:
//
//   torchvision 1.5 (He et al., 2016; the stride of a bottleneck on its 3x3)
//               conv1 bn1 layerS.I.{convK bnK downsample.*} fc
//   CIFAR, akamaster's (He et al., 2016, 4.2; option A, no parameters in a shortcut, or B, projections)
//               conv1 bn1 layerS.I.{convK bnK shortcut.*} linear
//   WideResNet, as TRADES has it (Zagoruyko and Komodakis, 2016)
//               conv1 blockS.layer.I.{bnK convK convShortcut} bn1 fc
//   PreActResNet, as kuangliu has it (He et al., 2016b)
//               conv1 layerS.I.{bnK convK shortcut.0} linear
//
//   basic       y = relu(bn2(conv2(relu(bn1(conv1 x)))) + shortcut(x))
//   bottleneck  y = relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1 x))))))) + shortcut(x)),  1x1, 3x3, 1x1 to 4 planes
//   pre-act     a = relu(bn1 x);  y = conv2(relu(bn2(conv1 a))) + (shape changes ? convShortcut(a) : x)
//
// Option A: every second pixel, channels padded with zeros on both sides.
#pragma once

#include "nn/conv.h"
#include "nn/model.h"

namespace taut::nn {

struct ResNetConfig : ModelConfig {
  enum class Kind { kBasic, kBottleneck, kPreAct };
  enum class Shortcut { kProjection, kZeroPadding };
  enum class Names { kTorchvision, kAkamaster, kWide, kPreAct };

  Kind kind = Kind::kBasic;
  Shortcut shortcut = Shortcut::kProjection;
  Names names = Names::kTorchvision;
  bool large_stem = true;                             // 7x7 of stride 2 and a max pooling, else 3x3 of stride 1
  int64_t stem = 64;                                  // its channels
  std::vector<int64_t> planes = {64, 128, 256, 512};  // of the stages; all but the first halve the image
  std::vector<int64_t> depths = {2, 2, 2, 2};         // blocks of a stage

  void check() const override;
  std::shared_ptr<ModelConfig> clone() const override { return std::make_shared<ResNetConfig>(*this); }
  std::shared_ptr<Model> build(DType dtype = DType::kF32) const override;
  const char* family() const override { return "resnet"; }
  std::string description() const override;
  std::vector<LayerCost> layer_costs() const override;

  int64_t expansion() const { return kind == Kind::kBottleneck ? 4 : 1; }
  int64_t feature_size() const { return planes.back() * expansion(); }
  // The input's side over the last stage's, which has at least one pixel.
  int64_t reduction() const { return (large_stem ? 4 : 1) << (planes.size() - 1); }
  bool final_norm() const { return names == Names::kWide; }
};

class ResidualBlock;

class ResNet : public Model {
 public:
  explicit ResNet(const ResNetConfig& config, DType dtype = DType::kF32);

  ops::ImagePatches input() const override { return single_pixels(config_.mean, config_.std, activations()); }
  // The mean over the last image, (b, feature_size).
  Var features_of(const Var& patches, const Shape& images) override;
  const ResNetConfig& config() const override { return config_; }
  std::vector<LayerSlot> slots() const override;

 private:
  void set_classes(int64_t classes) override { config_.classes = classes; }
  void check_images(const Var& images) const override;

  ResNetConfig config_;
  std::shared_ptr<Place> stem_;
  std::shared_ptr<BatchNorm> norm_;  // after the stem, or (WideResNet) at the end; null: none
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;
};

}  // namespace taut::nn
