// bfloat16, a storage type: arithmetic happens in float, and `cast` (kernels/pointwise.h) converts.
#pragma once

#include <cstdint>

namespace taut {

// The upper half of a float's bits.
struct BF16 {
  uint16_t bits = 0;
};

}  // namespace taut
