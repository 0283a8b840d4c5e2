// The fill formulas of the golden cases: large tensors are not stored, both sides compute them from a name. Element i
// of a tensor called `name` is a SplitMix64 step of FNV-1a-64(name) + i: u in [0, 1) from its upper 24 bits, v = 2u
// - 1.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace taut::cases {

uint64_t fnv1a(std::string_view text);
double fill_unit(uint64_t hash, int64_t i);  // u

Tensor unit(const std::string& name, const Shape& shape);                // u, f64
Tensor signed_unit(const std::string& name, const Shape& shape);         // v, f64
Tensor ints(const std::string& name, const Shape& shape, int64_t high);  // floor(u high), i64

// The value of a model's parameter or buffer by its own (external) name: 1 + 0.5 v for a running variance; 1 + 0.1 v
// for a norm's weight; 0.1 v for a bias, a last part `b` and other tensors of a norm; v sqrt(3 / product(shape[1:]))
// for other tensors of two or more dimensions; else 0.1 v. `ia3`: (IA)^3 vectors are 1 + 0.1 w / max|w|, w the value by
// the rule.
Tensor fill_parameter(const std::string& name, const Shape& shape, bool ia3);

}  // namespace taut::cases
