// Small nets of robustness research, written as what they are: convolutions with biases, ReLU, linear layers.
//
//   VNN-COMP 2021 ResNet-2B, 4B:  conv1 (3x3 of stride 2), residual blocks, linear1 (100), linear2
//     block  y = relu(conv2(relu(conv1 x)) + shortcut(x)), the shortcut a 1x1 convolution where the shape changes
//   TRADES SmallCNN (Zhang et al., 2019):  conv1 conv2 pool conv3 conv4 pool fc1 fc2 fc3, 28 x 28 grey images
//
// Linear layers see images flattened in the order (c, h, w).
#pragma once

#include "nn/conv.h"
#include "nn/model.h"

namespace taut::nn {

// One block of a VNN-COMP net.
struct PlainBlock {
  int64_t stage, index;  // "layer1.0"
  int64_t planes, stride;
};

struct VnncompConfig : ModelConfig {
  int64_t stem = 8;
  std::vector<PlainBlock> blocks;
  int64_t hidden = 100;

  VnncompConfig();
  void check() const override;
  std::shared_ptr<ModelConfig> clone() const override { return std::make_shared<VnncompConfig>(*this); }
  std::shared_ptr<Model> build(DType dtype = DType::kF32) const override;
  const char* family() const override { return "vnncomp"; }
  std::string description() const override;
  std::vector<LayerCost> layer_costs() const override;
};

struct SmallCnnConfig : ModelConfig {
  SmallCnnConfig();
  void check() const override;
  std::shared_ptr<ModelConfig> clone() const override { return std::make_shared<SmallCnnConfig>(*this); }
  std::shared_ptr<Model> build(DType dtype = DType::kF32) const override;
  const char* family() const override { return "small_cnn"; }
  std::string description() const override;
  std::vector<LayerCost> layer_costs() const override;
};

VnncompConfig vnncomp_resnet_2b();
VnncompConfig vnncomp_resnet_4b();

}  // namespace taut::nn
