#include "tensor/shape.h"

#include <algorithm>

#include "kernels/error.h"

namespace taut {

int64_t numel(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t d : shape) {
    TAUT_CHECK(d >= 0, "[shape] expected sizes >= 0, got {}", to_string(shape));
    TAUT_CHECK(!__builtin_mul_overflow(n, d, &n), "[shape] {} has more elements than fit 64 bits", to_string(shape));
  }
  return n;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

Shape row_major_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    TAUT_CHECK(x == y || x == 1 || y == 1, "[{}] expected shapes that broadcast, got {} and {}", op, to_string(a),
               to_string(b));
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace taut
