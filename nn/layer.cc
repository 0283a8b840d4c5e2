#include "nn/layer.h"

#include "autograd/ops.h"

namespace taut::nn {

Var Layer::forward_gelu(const Var& x) { return ops::gelu_erf(forward(x)); }

Linear::Linear(int64_t in, int64_t out, DType dtype)
    : weight(add_parameter("weight", Tensor::zeros({out, in}, dtype))),
      bias(add_parameter("bias", Tensor::zeros({out}, dtype))) {}

Var Linear::forward(const Var& x) { return ops::linear(x, weight, bias, {}, precision()); }
Var Linear::forward_gelu(const Var& x) { return ops::linear_gelu(x, weight, bias, precision()); }

LayerNorm::LayerNorm(int64_t dim, double eps, DType dtype)
    : weight(add_parameter("weight", Tensor::full({dim}, 1, dtype))),
      bias(add_parameter("bias", Tensor::zeros({dim}, dtype))),
      eps_(eps) {}

Var LayerNorm::forward(const Var& x) { return ops::layer_norm(x, weight, bias, eps_); }
std::pair<Var, Var> LayerNorm::forward_residual(const Var& h, const Var& r) {
  return ops::residual_layer_norm(h, r, weight, bias, eps_);
}

}  // namespace taut::nn
