// Compiled once per instruction set (TAUT_CPU): kernels/math.h on vectors.
#include "kernels/math.h"
#include "tests/math/functions.h"

namespace taut::TAUT_CPU {
namespace {

template <class Body>
void for_each_vector(const float* x, float* y, int64_t n, Body&& body) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t count = n - i < kLanes ? n - i : kLanes;
    store_partial(y + i, body(load_partial(x + i, count)), count);
  }
}

}  // namespace

void apply(Function f, const float* x, float* y, int64_t n) {
  switch (f) {
#define TAUT_CASE(name) \
  case Function::name: return for_each_vector(x, y, n, [](Vec<float> v) { return name(v); });
    TAUT_MATH_FUNCTIONS(TAUT_CASE)
#undef TAUT_CASE
    case Function::count: break;
  }
}

}  // namespace taut::TAUT_CPU
