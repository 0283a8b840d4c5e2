// Layers: modules that map (..., in) to (..., out). Fine-tuning replaces a layer of a model by another one around it.
#pragma once

#include "nn/module.h"

namespace taut::nn {

class Layer : public Module {
 public:
  virtual Var forward(const Var& x) = 0;
  // gelu_erf(forward(x)); a layer that can fuse the two overrides it.
  virtual Var forward_gelu(const Var& x);
};

// y = x wT + bias (+ residual); weight (out, in), bias (out).
class Linear : public Layer {
 public:
  Linear(int64_t in, int64_t out, DType dtype = DType::kF32);  // zeros; see nn/init.h
  Var forward(const Var& x) override;
  Var forward_gelu(const Var& x) override;

  int64_t in() const { return weight.size(1); }
  int64_t out() const { return weight.size(0); }

  Var& weight;
  Var& bias;
};

// Layer normalisation over the last dimension; weight and bias (dim).
class LayerNorm : public Module {
 public:
  LayerNorm(int64_t dim, double eps, DType dtype = DType::kF32);  // ones and zeros
  Var forward(const Var& x);
  std::pair<Var, Var> forward_residual(const Var& h, const Var& r);  // {h + r, norm(h + r)}

  Var& weight;
  Var& bias;

 private:
  double eps_;
};

}  // namespace taut::nn
