// Shapes and what is computed from them alone. Sizes are int64_t and never negative.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace taut {

using Shape = std::vector<int64_t>;

// Product of the sizes (1 for the empty shape); throws Error(kUsage) on a negative size or on overflow.
int64_t numel(const Shape& shape);
std::string to_string(const Shape& shape);  // "(2, 197, 192)"
Shape row_major_strides(const Shape& shape);
// NumPy's broadcasting of two shapes; throws Error(kUsage) naming `op` and both shapes.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

}  // namespace taut
