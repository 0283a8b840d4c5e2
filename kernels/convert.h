// The conversions of `cast` (kernels/pointwise.h), element by element, for every backend.
#pragma once

#include "kernels/bf16.h"
#include "kernels/math.h"

namespace taut::TAUT_MATH {

TAUT_INLINE float to_float(BF16 x) { return as_real(static_cast<int32_t>(uint32_t{x.bits} << 16)); }

TAUT_INLINE BF16 to_bf16(float x) {
  const auto bits = static_cast<uint32_t>(as_int(x));
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  const uint32_t quiet_nan = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>(is_nan(x) ? quiet_nan : rounded)};
}

// The bits of a float rounded to tf32, 10 bits of significand: to nearest, ties away from zero, the other 13 bits zero.
TAUT_INLINE uint32_t tf32_bits(uint32_t bits) {
  return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffe000u : (bits + 0x1000u) & 0xffffe000u;
}
TAUT_INLINE float to_tf32(float x) {
  return as_real(static_cast<int32_t>(tf32_bits(static_cast<uint32_t>(as_int(x)))));
}

// The integer types, as floating types see them: [low, high) converts by truncation, high is a power of two.
template <class T>
struct Range;
template <>
struct Range<uint8_t> {
  static constexpr double low = 0, high = 0x1p8;
  static constexpr uint8_t least = 0, greatest = UINT8_MAX;
};
template <>
struct Range<int32_t> {
  static constexpr double low = -0x1p31, high = 0x1p31;
  static constexpr int32_t least = INT32_MIN, greatest = INT32_MAX;
};
template <>
struct Range<int64_t> {
  static constexpr double low = -0x1p63, high = 0x1p63;
  static constexpr int64_t least = INT64_MIN, greatest = INT64_MAX;
};

template <class T>
constexpr bool kReal = false;
template <>
inline constexpr bool kReal<float> = true;
template <>
inline constexpr bool kReal<double> = true;
template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;

template <class To, class From>
TAUT_INLINE To convert(From x) {
  if constexpr (kSame<From, To>) {
    return x;
  } else if constexpr (kSame<From, BF16>) {
    return convert<To>(to_float(x));
  } else if constexpr (kSame<To, BF16>) {
    return to_bf16(static_cast<float>(x));
  } else if constexpr (kSame<To, bool>) {
    return x != 0;
  } else if constexpr (kReal<From> && !kReal<To>) {
    using R = Range<To>;
    if (x >= static_cast<From>(R::high)) return R::greatest;
    if (x >= static_cast<From>(R::low)) return static_cast<To>(x);
    return is_nan(x) ? To(0) : R::least;
  } else {
    return static_cast<To>(x);
  }
}

// What is computed with where x is stored.
template <class T>
TAUT_INLINE Real<T> widen(T x) {
  return convert<Real<T>>(x);
}

}  // namespace taut::TAUT_MATH
