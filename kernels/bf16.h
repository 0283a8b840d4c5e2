// Types that are stored and not computed in: arithmetic happens in float.
#pragma once

#include <cstdint>

namespace taut {

// bfloat16, the upper half of a float's bits; `cast` (kernels/pointwise.h) converts.
struct BF16 {
  uint16_t bits = 0;
};

// A float that matrix products and convolutions read rounded to 10 bits of significand (to nearest, ties away from
// zero), as tensor cores do, and write whole: the template argument by which TF32 is asked for. Memory holds floats.
struct TF32 {
  float value = 0;
};

// What a kernel computes in where it reads and writes T.
template <class T>
struct Arithmetic {
  using Type = T;
};
template <>
struct Arithmetic<BF16> {
  using Type = float;
};
template <>
struct Arithmetic<TF32> {
  using Type = float;
};
template <class T>
using Real = typename Arithmetic<T>::Type;

}  // namespace taut
