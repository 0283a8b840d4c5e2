// Where a NaN or an infinity came from.
#pragma once

#include <functional>
#include <string>

#include "nn/model.h"

namespace taut::finetune {

// Elements that are NaN or infinite.
int64_t count_nonfinite_elements(const Tensor& tensor);

// "'PATH' (shape) has N non-finite elements of M" of the first parameter or running statistic that is not finite; "".
std::string first_nonfinite_parameter(const nn::Module& model);

// One sentence naming the first tensor that is not finite: a parameter, an input such as the images, or what an op of
// `forward` made of finite tensors, with the parameters that went into it. "" where all are finite. `forward` is run
// again.
std::string first_nonfinite(const nn::Module& model, const std::function<Var()>& forward);

}  // namespace taut::finetune
