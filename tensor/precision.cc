#include "tensor/precision.h"

#include "kernels/error.h"

namespace taut {

const char* name(Precision precision) {
  switch (precision) {
    case Precision::kF32: return "f32";
    case Precision::kTF32: return "tf32";
    case Precision::kBF16: return "bf16";
  }
  return "?";
}

std::vector<std::string> precision_names() {
  return {name(Precision::kF32), name(Precision::kTF32), name(Precision::kBF16)};
}

Precision precision_by_name(std::string_view text) {
  for (const Precision p : {Precision::kF32, Precision::kTF32, Precision::kBF16})
    if (text == name(p)) return p;
  fail(Exit::kUsage, "[precision] expected f32, tf32 or bf16, got '{}'", text);
}

}  // namespace taut
