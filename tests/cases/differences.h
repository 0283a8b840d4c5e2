// Central differences of an op's own f64 forward pass, against its gradients: full Jacobian where it is small, else
// four random products vJu.
#pragma once

#include <vector>

#include "tests/cases/op_case.h"

namespace taut::cases {

// Two lists of numbers that must be near each other; empty where there is nothing to compare.
struct Differences {
  std::vector<double> numeric, analytic;
};

// `inputs` are f64; those that `mask` marks are moved.
Differences central_differences(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask);

}  // namespace taut::cases
