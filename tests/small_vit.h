// A small ViT with random weights and random images, for tests of what stands on the models.
#pragma once

#include <memory>
#include <string>

#include "nn/init.h"
#include "nn/vit.h"
#include "tensor/random.h"

namespace taut::testing {

inline nn::VitConfig small_config() {
  nn::VitConfig c;
  c.image_size = 16;
  c.patch = 8;
  c.dim = 64;
  c.depth = 2;
  c.heads = 4;
  c.mlp = 96;
  c.classes = 5;
  return c;
}

// Every parameter random (norm gains about 1), so that no gradient is zero by symmetry.
inline std::shared_ptr<nn::Vit> random_vit(const nn::VitConfig& config, uint64_t seed, DType dtype = DType::kF32) {
  auto vit = std::make_shared<nn::Vit>(config, dtype);
  for (const nn::NamedParameter& p : vit->parameters()) {
    Tensor t = p.var.value();
    const bool is_gain = p.path.find("norm") != std::string::npos && p.path.ends_with("weight");
    nn::fill_normal(t, is_gain ? 0.1 : 0.15, seed, p.path);
    if (is_gain) {
      const Tensor shifted = Tensor::from(t.to_doubles(), t.shape());
      std::vector<double> values = shifted.to_doubles();
      for (double& v : values) v += 1;
      t.copy_from(Tensor::from(values, t.shape()));
    }
  }
  return vit;
}

inline Tensor random_images(const nn::ModelConfig& c, int64_t b, uint64_t seed, DType dtype = DType::kF32) {
  Tensor x = Tensor::empty({b, c.channels, c.image_size, c.image_size}, dtype);
  Random random(seed, Purpose::kTest);
  on_float(dtype, "test", [&]<class T>() {
    for (T& v : x.span<T>()) v = static_cast<T>(random.uniform());
  });
  return x;
}

inline Tensor random_labels(int64_t b, int64_t classes, uint64_t seed) {
  Tensor y = Tensor::empty({b}, DType::kI64);
  Random random(seed, Purpose::kTest, 1);
  for (int64_t& v : y.span<int64_t>()) v = static_cast<int64_t>(random.below(static_cast<uint64_t>(classes)));
  return y;
}

inline double largest(const Tensor& t) {
  double m = 0;
  for (const double v : t.to_doubles()) m = std::max(m, std::abs(v));
  return m;
}

// Largest difference over the largest magnitude of `b`.
inline double relative_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_doubles(), y = b.to_doubles();
  double m = 0;
  for (size_t i = 0; i < x.size(); ++i) m = std::max(m, std::abs(x[i] - y[i]));
  return m / std::max(largest(b), 1e-300);
}

}  // namespace taut::testing
