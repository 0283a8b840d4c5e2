// Small residual nets with random weights, for tests of what stands on the models.
#pragma once

#include <memory>

#include "nn/resnet.h"
#include "tests/small_vit.h"

namespace taut::testing {

// Two stages of one block, images of 8 x 8 pixels.
inline nn::ResNetConfig small_resnet_config(nn::ResNetConfig::Kind kind = nn::ResNetConfig::Kind::kBasic) {
  nn::ResNetConfig c;
  c.kind = kind;
  c.image_size = 8;
  c.classes = 5;
  c.large_stem = false;
  c.stem = 8;
  c.planes = {8, 16};
  c.depths = {1, 1};
  return c;
}

// Every parameter and buffer random (gains and variances about 1), so that no gradient is zero by symmetry.
inline void randomise(nn::Model& model, uint64_t seed) {
  const auto fill = [&](const nn::NamedParameter& p, double centre, double spread) {
    Tensor noise = Tensor::empty(p.var.shape(), DType::kF64);
    nn::fill_uniform(noise, spread, seed, p.path);
    std::vector<double> values = noise.to_doubles();
    for (double& v : values) v += centre;
    Tensor t = p.var.value();
    t.copy_from(Tensor::from(values, p.var.shape()));
  };
  for (const nn::NamedParameter& p : model.parameters()) {
    const int64_t dims = p.var.value().ndim();
    const double fan_in = dims > 1 ? static_cast<double>(p.var.value().numel() / p.var.size(0)) : 1;
    const bool is_gain = dims == 1 && p.path.ends_with("weight");
    fill(p, is_gain ? 1 : 0, dims > 1 ? std::sqrt(3 / fan_in) : 0.3);
  }
  for (const nn::NamedBuffer& b : model.buffers()) fill(b, b.path.ends_with("var") ? 1 : 0, 0.3);
}

inline std::shared_ptr<nn::Model> random_model(const nn::ModelConfig& config, uint64_t seed,
                                               DType dtype = DType::kF32) {
  const std::shared_ptr<nn::Model> model = config.build(dtype);
  randomise(*model, seed);
  return model;
}

}  // namespace taut::testing
