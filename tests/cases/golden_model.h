// Models of golden cases: built from the sizes in names and attrs, filled by their own names, compared gradient by
// gradient.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/vit.h"
#include "nn/weights.h"
#include "tests/cases/golden.h"

namespace taut::cases {

// Every parameter gets the fill of its external name (a fused parameter its parts one by one).
void fill_model(nn::Model& model, const std::vector<nn::NameEntry>& names, bool ia3);
// Moves every parameter and buffer of an f64 model by up to c.roundings() f32 roundings, otherwise for every
// c.disturbance(); does nothing where that is 0.
void disturb(const GoldenCase& c, nn::Model& model);
// The rows of a parameter (or of its gradient) that an entry names, in the entry's shape.
Tensor part_of(const Tensor& whole, const nn::NameEntry& entry);
bool is_key_bias(const std::string& external);
double norm_of(const std::vector<double>& values);

// A configuration from Hugging Face's names (`arch`).
nn::VitConfig hf_config(const nlohmann::json& arch, int64_t classes);
// A configuration from timm's names (`config`).
nn::VitConfig timm_config(const nlohmann::json& config);

Shape shape_of(const nlohmann::json& shape);

}  // namespace taut::cases
