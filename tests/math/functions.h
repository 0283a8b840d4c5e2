// The functions of kernels/math.h as a table that the sweeps of this folder run over.
#pragma once

#include <cstdint>

namespace taut {

#define TAUT_MATH_FUNCTIONS(F) \
  F(exp)                       \
  F(log)                       \
  F(erf)                       \
  F(tanh)                      \
  F(sin)                       \
  F(cos)                       \
  F(sigmoid)                   \
  F(silu)                      \
  F(silu_derivative)           \
  F(gelu_erf)                  \
  F(gelu_erf_derivative)       \
  F(gelu_tanh)                 \
  F(gelu_tanh_derivative)

enum class Function : uint8_t {
#define TAUT_ENUMERATOR(f) f,
  TAUT_MATH_FUNCTIONS(TAUT_ENUMERATOR)
#undef TAUT_ENUMERATOR
      count
};

// y = f(x), n elements: by vectors of each instruction set, and by scalars.
namespace avx2 {
void apply(Function f, const float* x, float* y, int64_t n);
}
namespace avx512 {
void apply(Function f, const float* x, float* y, int64_t n);
}
namespace scalar {
void apply(Function f, const float* x, float* y, int64_t n);
}

}  // namespace taut
