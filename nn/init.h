// Initialisation, all from counter-based random numbers: parameter values depend on (seed, path) alone.
#pragma once

#include <cstdint>
#include <string>

#include "nn/model.h"

namespace taut::nn {

// Overwrites t with N(0, std^2) or U(-bound, bound), a pure function of (seed, path).
void fill_normal(Tensor& t, double std, uint64_t seed, const std::string& path);
void fill_uniform(Tensor& t, double bound, uint64_t seed, const std::string& path);

// ViT, the demo's recipe: linear weights N(0, 0.02) truncated at two deviations, biases 0, patch weights
// U(+-1/sqrt(inputs)), positions N(0, 0.02) truncated, class token N(0, 1e-6).
// Convolutional nets: convolutions N(0, 2 / (outputs x kernel area)) (He et al., 2015, as torchvision), linear layers
// U(+-1/sqrt(inputs)), biases 0, norms as they are.
void init_model(Model& model, uint64_t seed);

}  // namespace taut::nn
