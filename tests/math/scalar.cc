// kernels/math.h on single floats, as a GPU thread will run it.
#include "kernels/math.h"
#include "tests/math/functions.h"

namespace taut::scalar {

void apply(Function f, const float* x, float* y, int64_t n) {
  switch (f) {
#define TAUT_CASE(name)                                \
  case Function::name:                                 \
    for (int64_t i = 0; i < n; ++i) y[i] = name(x[i]); \
    return;
    TAUT_MATH_FUNCTIONS(TAUT_CASE)
#undef TAUT_CASE
    case Function::count: break;
  }
}

}  // namespace taut::scalar
