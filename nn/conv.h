// Layers of convolutional nets. Images inside a net are (b, h, w, c).
#pragma once

#include "autograd/ops.h"
#include "nn/layer.h"

namespace taut::nn {

// weight (out, in / groups, kernel.h, kernel.w), bias (out) if asked for.
class Conv : public Layer {
 public:
  Conv(int64_t in, int64_t out, HW kernel, const ops::Conv2d& how, bool bias, DType dtype);  // zeros
  Var forward(const Var& x) override { return ops::conv2d(x, weight, bias, how()); }

  int64_t in() const { return weight.size(1) * how_.groups; }
  int64_t out() const { return weight.size(0); }
  HW kernel() const { return {weight.size(2), weight.size(3)}; }
  ops::Conv2d how() const;

  Var& weight;
  Var bias;  // undefined if there is none

 private:
  ops::Conv2d how_;
};

// Batch normalisation of the last dimension; weight and bias (c), buffers running_mean and running_var. In training
// mode a forward pass uses the statistics of its batch and moves the running ones, in place.
class BatchNorm : public Module {
 public:
  explicit BatchNorm(int64_t channels, DType dtype);  // ones and zeros
  // relu(norm(x) + residual), without what is not asked for.
  Var forward(const Var& x, bool relu, const Var& residual = {});

  Var& weight;
  Var& bias;
  Var& running_mean;
  Var& running_var;
};

// Holds a layer that fine-tuning may replace; transparent in paths. May hold none and is the identity then.
class Place : public Layer {
 public:
  explicit Place(std::shared_ptr<Layer> layer);
  Var forward(const Var& x) override { return layer_ == nullptr ? x : layer_->forward(x); }
  const std::shared_ptr<Layer>& layer() const { return layer_; }
  void replace(std::shared_ptr<Layer> layer);

 private:
  std::shared_ptr<Layer> layer_;
};

// Patches of one pixel, normalised and stored as `dtype`. Mean and deviation are f32 numbers in f64 nets, too:
// torchvision keeps them as such, and 1e-8 in an image is what a double net shows.
ops::ImagePatches single_pixels(std::vector<double> mean, std::vector<double> std, DType dtype);
// Such patches of images (b, c, h, w) as (b, h, w, c).
Var as_image(const Var& patches, const Shape& images);
// (b, h, w, c) to (b, c h w) in the order of PyTorch's flattened (b, c, h, w), for linear layers after convolutions.
Var flatten_as_channels_first(const Var& x);

// Rows and columns of a convolution's output.
HW conv_size(HW size, HW kernel, const ops::Conv2d& how);

}  // namespace taut::nn
