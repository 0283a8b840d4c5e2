// How much a model rounds on its way (model.precision). f32 is the numeric contract (docs/numerics.md); the other two
// are faster on tensor cores, are asked for by name and are judged by the tolerance policy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace taut {

enum class Precision : uint8_t {
  kF32,   // everything
  kTF32,  // factors of matrix products and convolutions rounded to 10 bits of significand; all else f32
  kBF16,  // activations and frozen parameters stored in bf16, arithmetic and what trains in f32
};

const char* name(Precision precision);  // "f32", "tf32", "bf16"
std::vector<std::string> precision_names();
// Throws Error(kUsage) for another name.
Precision precision_by_name(std::string_view text);

}  // namespace taut
