#include "nn/conv.h"

#include "kernels/conv2d.h"

namespace taut::nn {
namespace {

constexpr double kEps = 1e-5, kMomentum = 0.1;  // PyTorch's defaults, which all nets here were trained with

}  // namespace

Conv::Conv(int64_t in, int64_t out, HW kernel, const ops::Conv2d& how, bool with_bias, DType dtype)
    : weight(add_parameter("weight", Tensor::zeros({out, in / how.groups, kernel.h, kernel.w}, dtype))), how_(how) {
  if (with_bias) bias = add_parameter("bias", Tensor::zeros({out}, dtype));
}

ops::Conv2d Conv::how() const {
  ops::Conv2d how = how_;
  how.precision = precision();
  return how;
}

BatchNorm::BatchNorm(int64_t channels, DType dtype)
    : weight(add_parameter("weight", Tensor::full({channels}, 1, dtype))),
      bias(add_parameter("bias", Tensor::zeros({channels}, dtype))),
      running_mean(add_buffer("running_mean", Tensor::zeros({channels}, dtype))),
      running_var(add_buffer("running_var", Tensor::full({channels}, 1, dtype))) {}

Var BatchNorm::forward(const Var& x, bool relu, const Var& residual) {
  return ops::batch_norm(x, weight, bias, running_mean.value(), running_var.value(), training(), kMomentum, kEps,
                         residual, relu);
}

Place::Place(std::shared_ptr<Layer> layer) { replace(std::move(layer)); }

void Place::replace(std::shared_ptr<Layer> layer) {
  if (layer_ != nullptr)
    replace_child(layer_.get(), layer);
  else if (layer != nullptr)
    add_child("", layer);
  layer_ = std::move(layer);
}

HW conv_size(HW size, HW kernel, const ops::Conv2d& how) {
  const ConvShape s{.h = size.h,
                    .w = size.w,
                    .kh = kernel.h,
                    .kw = kernel.w,
                    .stride = how.stride,
                    .padding = how.padding,
                    .dilation = how.dilation,
                    .groups = how.groups,
                    .extra = how.extra};
  return {s.out_h(), s.out_w()};
}

ops::ImagePatches single_pixels(std::vector<double> mean, std::vector<double> std, DType dtype) {
  for (std::vector<double>* values : {&mean, &std})
    for (double& v : *values) v = static_cast<double>(static_cast<float>(v));
  return {1, std::move(mean), std::move(std), dtype};
}

Var as_image(const Var& patches, const Shape& images) {
  return ops::reshape(patches, {images[0], images[2], images[3], images[1]});
}

Var flatten_as_channels_first(const Var& x) {
  return ops::reshape(ops::permute(x, {0, 3, 1, 2}), {x.size(0), x.size(1) * x.size(2) * x.size(3)});
}

}  // namespace taut::nn
