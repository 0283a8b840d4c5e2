// Elementary functions in one source for every backend: exp, log, erf, tanh, sigmoid, silu, both GELUs, sin, cos, and
// the derivatives that activations need.
//
// Each is a template over a value type V: Vec<float> or Vec<double> (16 lanes, kernels/simd.h), float or double. In
// float they are built from correctly rounded operations only (+ - * / fma, rounding to an integer, bits), so a vector
// lane, a scalar and a GPU thread give the same bits. Largest errors in units in the last place (tests/math sweeps all
// exponents): exp 1.0, log 0.8, erf 1.0, tanh 1.3, sigmoid 2.1, gelu_erf 5.5, silu 3, sin
// and cos 1.6 for |x| <= 8192; the derivatives and gelu_tanh 2.3 units of 1/2.
// double is the oracle type and takes libm lane by lane; its bits are those of the libm in use.
//
// All propagate NaN, and at infinities give the limit (gelu(-inf) = -0, silu(-inf) = -0).
//
// Polynomials: minimax fits (Lawson's iteration on Chebyshev points in 40-digit arithmetic, coefficients rounded to
// float one by one with the rest fitted again). Argument reductions after Cody and Waite, "Software Manual for the
// Elementary Functions" (1980).
#pragma once

#include <cstdint>

#ifdef TAUT_CPU
#include "kernels/simd.h"
#define TAUT_MATH TAUT_CPU
#else
#ifndef TAUT_MATH
#define TAUT_MATH scalar  // a CUDA file defines its own namespace before including this
#endif
#ifdef __CUDACC__
#define TAUT_INLINE __host__ __device__ __forceinline__
#else
#define TAUT_INLINE [[gnu::always_inline]] inline
#endif
#endif
#ifndef __CUDA_ARCH__
#include <immintrin.h>
#endif
#ifdef TAUT_SIMT
#include "kernels/simt/runner.h"
#endif
#include <math.h>  // the C functions for double: no C++ template of the standard library may be instantiated in a kernel file

namespace taut::TAUT_MATH {

// ---- the scalar twins of simd.h's primitives ------------------------------------------------------------------------

#ifdef __CUDA_ARCH__
TAUT_INLINE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
TAUT_INLINE double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
TAUT_INLINE float sqrt(float a) { return __fsqrt_rn(a); }
TAUT_INLINE double sqrt(double a) { return __dsqrt_rn(a); }
TAUT_INLINE float round_even(float a) { return rintf(a); }
TAUT_INLINE int32_t to_int(float a) { return __float2int_rn(a); }
TAUT_INLINE int32_t as_int(float a) { return __float_as_int(a); }
TAUT_INLINE float as_real(int32_t a) { return __int_as_float(a); }
#else
#ifdef TAUT_SIMT
// Counted, by an instruction of its own: a plain increment would be an access that the runner watches.
TAUT_INLINE void count_fma() { asm volatile("incq %0" : "+m"(::taut::runner::fma_count) : : "cc"); }
#else
TAUT_INLINE void count_fma() {}
#endif
TAUT_INLINE float fma(float a, float b, float c) {
  count_fma();
  return __builtin_fmaf(a, b, c);
}
TAUT_INLINE double fma(double a, double b, double c) {
  count_fma();
  return __builtin_fma(a, b, c);
}
TAUT_INLINE float sqrt(float a) { return __builtin_sqrtf(a); }
TAUT_INLINE double sqrt(double a) { return __builtin_sqrt(a); }
TAUT_INLINE float round_even(float a) { return __builtin_roundevenf(a); }
TAUT_INLINE int32_t to_int(float a) { return _mm_cvtss_si32(_mm_set_ss(a)); }  // defined for every a, as a cast is not
TAUT_INLINE int32_t as_int(float a) { return __builtin_bit_cast(int32_t, a); }
TAUT_INLINE float as_real(int32_t a) { return __builtin_bit_cast(float, a); }
#endif
TAUT_INLINE float max(float a, float b) { return a > b ? a : b; }  // b where either is NaN, as the vectors
TAUT_INLINE double max(double a, double b) { return a > b ? a : b; }
TAUT_INLINE float min(float a, float b) { return a < b ? a : b; }
TAUT_INLINE double min(double a, double b) { return a < b ? a : b; }
TAUT_INLINE float abs(float a) { return __builtin_fabsf(a); }
TAUT_INLINE double abs(double a) { return __builtin_fabs(a); }
TAUT_INLINE float copysign(float a, float s) { return __builtin_copysignf(a, s); }
TAUT_INLINE bool less(float a, float b) { return a < b; }
TAUT_INLINE bool less(double a, double b) { return a < b; }
TAUT_INLINE bool less_equal(float a, float b) { return a <= b; }
TAUT_INLINE bool less_equal(double a, double b) { return a <= b; }
TAUT_INLINE bool equal(float a, float b) { return a == b; }
TAUT_INLINE bool equal(double a, double b) { return a == b; }
TAUT_INLINE bool is_nan(float a) { return a != a; }
TAUT_INLINE bool is_nan(double a) { return a != a; }
TAUT_INLINE float select(bool m, float a, float b) { return m ? a : b; }
TAUT_INLINE double select(bool m, double a, double b) { return m ? a : b; }
TAUT_INLINE float to_real(int32_t a) { return static_cast<float>(a); }
TAUT_INLINE int32_t ints(const float&, int64_t x) { return static_cast<int32_t>(x); }
template <int n>
TAUT_INLINE int32_t shift_left(int32_t a) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) << n);
}
template <int n>
TAUT_INLINE int32_t shift_right(int32_t a) {
  return a >> n;
}

// constant<V>(x): x in every lane, rounded to V's element type.
template <class V>
struct Constant;
template <>
struct Constant<float> {
  TAUT_INLINE static float of(double x) { return static_cast<float>(x); }
};
template <>
struct Constant<double> {
  TAUT_INLINE static double of(double x) { return x; }
};
#ifdef TAUT_CPU
template <class T>
struct Constant<Vec<T>> {
  TAUT_INLINE static Vec<T> of(double x) { return broadcast(static_cast<T>(x)); }
};
#endif
template <class V>
TAUT_INLINE V constant(double x) {
  return Constant<V>::of(x);
}

// c[0] + c[1] x + ... by Horner's rule, one fma a step.
template <class V, int n>
TAUT_INLINE V polynomial(V x, const float (&c)[n]) {
  V y = constant<V>(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) y = fma(y, x, constant<V>(c[i]));
  return y;
}

// ---- float: exp, log, erf, tanh, sin, cos ---------------------------------------------------------------------------

// e^x with correctly rounded subnormals; +inf above 88.7228, +0 below -103.98.
template <class V>
TAUT_INLINE V exp(V x) {
  constexpr float kP[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558b0p-5f, 0x1.12398ep-7f, 0x1.6a4d60p-10f};
  x = min(constant<V>(89), max(constant<V>(-104), x));  // the order of operands lets NaN through
  const V n = round_even(x * constant<V>(0x1.715476p+0f));
  V r = fma(n, constant<V>(-0x1.62e430p-1f), x);
  r = fma(n, constant<V>(0x1.05c610p-29f), r);
  const V y = fma(r * r, polynomial(r, kP), r) + constant<V>(1);
  // 2^n in two factors: n reaches 128 and -150, beyond what one float's exponent holds.
  const auto i = to_int(n);
  const auto half = shift_right<1>(i);
  const auto bias = ints(x, 127);
  return y * as_real(shift_left<23>(half + bias)) * as_real(shift_left<23>(i - half + bias));
}

// Natural logarithm; -inf at +-0, NaN below.
template <class V>
TAUT_INLINE V log(V x) {
  constexpr float kP[] = {0x1.555548p-2f,  -0x1.000006p-2f, 0x1.99a476p-3f,  -0x1.555c44p-3f, 0x1.233ba4p-3f,
                          -0x1.fc28dap-4f, 0x1.e6bfecp-4f,  -0x1.de0114p-4f, 0x1.147262p-4f};
  const V zero = constant<V>(0), one = constant<V>(1);
  const auto subnormal = less(x, constant<V>(0x1p-126f));
  V m = select(subnormal, x * constant<V>(0x1p23f), x);
  m = select(less(zero, x), m, one);  // keeps the integers below in range
  const auto bits = as_int(m);
  const auto e = shift_right<23>(bits - ints(x, 0x3f3504f3));  // m = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2))
  const V f = as_real(bits - shift_left<23>(e)) - one;
  const V n = to_real(e) - select(subnormal, constant<V>(23), zero);
  const V f2 = f * f;
  V y = polynomial(f, kP) * f * f2;
  y = fma(n, constant<V>(-0x1.05c610p-29f), y);
  y = fma(f2, constant<V>(-0.5), y);
  y = fma(n, constant<V>(0x1.62e430p-1f), f + y);
  y = select(equal(x, constant<V>(__builtin_inff())), x, y);
  y = select(equal(x, zero), constant<V>(-__builtin_inff()), y);
  return select(less(x, zero), constant<V>(__builtin_nanf("")), select(is_nan(x), x, y));
}

template <class V>
TAUT_INLINE V erf(V x) {
  constexpr float kSmall[] = {0x1.06eba8p-3f, -0x1.812740p-2f,  0x1.ce2d64p-4f, -0x1.b80116p-6f,
                              0x1.5449b4p-8f, -0x1.a603f2p-11f, 0x1.4f48ccp-14f};  // erf(x)/x - 1 in x^2
  constexpr float kLarge[] = {-0x1.0778dcp-3f, -0x1.45328ep-1f, -0x1.b32568p-4f, 0x1.855122p-6f,
                              -0x1.dd6ba8p-9f, 0x1.52795cp-12f, -0x1.78d112p-17f};  // log(erfc(t))/t + 1 in t
  const V t = min(constant<V>(3.95), abs(x));  // beyond, 1 - erf is below half a unit
  const V small = fma(polynomial(x * x, kSmall), x, x);
  const V large = constant<V>(1) - exp(fma(polynomial(t, kLarge), t, constant<V>(0) - t));
  return select(less(t, constant<V>(0.92)), small, copysign(large, x));
}

template <class V>
TAUT_INLINE V tanh(V x) {
  constexpr float kSmall[] = {-0x1.555532p-2f, 0x1.1106f6p-3f, -0x1.b835a4p-5f, 0x1.51f8cep-6f, -0x1.750ce2p-8f};
  const V one = constant<V>(1), two = constant<V>(2);
  const V t = abs(x), t2 = x * x;
  const V small = fma(polynomial(t2, kSmall) * t2, t, t);
  const V large = one - two / (exp(t * two) + one);
  return copysign(select(less(t, constant<V>(0.625)), small, large), x);
}

// What both GELU functions are made of: with t = |x| (14.5 at most; Phi(-14.5) rounds to 0), the tail of the normal
// distribution is Phi(-t) = e r, e = exp(-t^2/2), r a ratio of polynomials with positive coefficients, so the tail
// keeps its relative accuracy.
template <class V>
struct NormalTail {
  V e, r, t;
};
template <class V>
TAUT_INLINE NormalTail<V> normal_tail(V x) {
  constexpr float kP[] = {0x1p-1f, 0x1.c017b2p-2f, 0x1.76250ep-3f, 0x1.4b4b94p-5f, 0x1.0bc0fap-8f};
  constexpr float kQ[] = {1, 0x1.ac4e08p+0f, 0x1.3345e0p+0f, 0x1.df406ap-2f, 0x1.9f3e74p-4f, 0x1.4f935cp-7f};
  const V t = min(constant<V>(14.5), abs(x));
  const V r = polynomial(t, kP) / polynomial(t, kQ);
  const V h = t * constant<V>(-0.5);
  const V s = h * t,
          rest = fma(h, t, constant<V>(0) - s);  // -t^2/2 = s + rest exactly: rounding s alone costs 40 units
  const V e = exp(s);
  return {fma(e, rest, e), r, t};
}

// x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016).
template <class V>
TAUT_INLINE V gelu_erf(V x) {
  const NormalTail<V> tail = normal_tail(x);
  const V lower = max(constant<V>(-14.5), x) * tail.r * tail.e;  // the clamp keeps -inf * 0 away
  return select(less(constant<V>(0), x), fma(constant<V>(0) - tail.t * tail.r, tail.e, x), lower);
}

// Phi(x) + x phi(x).
template <class V>
TAUT_INLINE V gelu_erf_derivative(V x) {
  const NormalTail<V> tail = normal_tail(x);
  const V lower = tail.e * fma(tail.t, constant<V>(-0.398942280401432678), tail.r);  // 1/sqrt(2 pi)
  return select(less(constant<V>(0), x), constant<V>(1) - lower, lower);
}

// |x| <= 8192; larger arguments lose accuracy, infinities give NaN.
template <class V>
struct Quadrant {
  V sine, cosine;  // of the remainder
  V odd, half;     // 1 if the number of quarter turns is odd; 2 if its second bit is set
};
template <class V>
TAUT_INLINE Quadrant<V> quadrant(V x, int turns) {
  constexpr float kSin[] = {-0x1.555546p-3f, 0x1.110774p-7f, -0x1.9951f6p-13f};
  constexpr float kCos[] = {0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e80cp-16f};
  const V n = round_even(x * constant<V>(0x1.45f306p-1f));
  V r = fma(n, constant<V>(-0x1.921fb6p+0f), x);
  r = fma(n, constant<V>(0x1.777a5cp-25f), r);
  r = fma(n, constant<V>(0x1.ee59dap-50f), r);
  const V s = r * r;
  const V sine = fma(polynomial(s, kSin) * s, r, r);
  const V cosine = fma(polynomial(s, kCos), s * s, fma(s, constant<V>(-0.5), constant<V>(1)));
  const auto i = to_int(n) + ints(x, turns);
  return {sine, cosine, to_real(i & ints(x, 1)), to_real(i & ints(x, 2))};
}
template <class V>
TAUT_INLINE V sin_turned(V x, int turns) {  // sin(x + turns pi/2)
  const Quadrant<V> q = quadrant(x, turns);
  const V y = select(equal(q.odd, constant<V>(0)), q.sine, q.cosine);
  return y * (constant<V>(1) - q.half);
}
template <class V>
TAUT_INLINE V sin(V x) {
  return sin_turned(x, 0);
}
template <class V>
TAUT_INLINE V cos(V x) {
  return sin_turned(x, 1);
}

// ---- double: libm ---------------------------------------------------------------------------------------------------

TAUT_INLINE double exp(double x) { return ::exp(x); }
TAUT_INLINE double log(double x) { return ::log(x); }
TAUT_INLINE double erf(double x) { return ::erf(x); }
TAUT_INLINE double tanh(double x) { return ::tanh(x); }
TAUT_INLINE double sin(double x) { return ::sin(x); }
TAUT_INLINE double cos(double x) { return ::cos(x); }
TAUT_INLINE double gelu_erf(double x) {
  return max(-40.0, x) * (0.5 * ::erfc(x * -0.70710678118654752440));  // Phi(-40) rounds to 0
}
TAUT_INLINE double gelu_erf_derivative(double x) {
  const double t = min(40.0, max(-40.0, x));
  return fma(t * 0.39894228040143267794, ::exp(-0.5 * t * t), 0.5 * ::erfc(x * -0.70710678118654752440));
}

#ifdef TAUT_CPU
#define TAUT_LANE_BY_LANE(f)                   \
  TAUT_INLINE Vec<double> f(Vec<double> x) {   \
    double lanes[kLanes];                      \
    store(lanes, x);                           \
    for (double& lane : lanes) lane = f(lane); \
    return load(lanes);                        \
  }
TAUT_LANE_BY_LANE(exp)
TAUT_LANE_BY_LANE(log)
TAUT_LANE_BY_LANE(erf)
TAUT_LANE_BY_LANE(tanh)
TAUT_LANE_BY_LANE(sin)
TAUT_LANE_BY_LANE(cos)
TAUT_LANE_BY_LANE(gelu_erf)
TAUT_LANE_BY_LANE(gelu_erf_derivative)
#undef TAUT_LANE_BY_LANE
#endif

// ---- made of exp alone, for every V ---------------------------------------------------------------------------------

// Both halves of a sigmoid, sigmoid(x) and sigmoid(-x) = 1 - sigmoid(x), each with its own relative accuracy.
template <class V>
struct Sigmoids {
  V plus, minus;
};
template <class V>
TAUT_INLINE Sigmoids<V> sigmoids(V x) {
  const V one = constant<V>(1);
  const V e = exp(constant<V>(0) - abs(x));
  const V d = one + e;
  const auto negative = less(x, constant<V>(0));
  return {select(negative, e, one) / d, select(negative, one, e) / d};
}

// 1 / (1 + exp(-x)).
template <class V>
TAUT_INLINE V sigmoid(V x) {
  return sigmoids(x).plus;
}

// x sigmoid(x) (Elfwing, Uchibe, Doya 2018). The clamp keeps -inf * 0 away; exp(-800) is 0 in either precision.
template <class V>
TAUT_INLINE V silu(V x) {
  return max(constant<V>(-800), x) * sigmoid(x);
}
template <class V>
TAUT_INLINE V silu_derivative(V x) {
  const V t = min(constant<V>(800), max(constant<V>(-800), x));
  const Sigmoids<V> s = sigmoids(t);
  return fma(s.plus * s.minus, t, s.plus);
}

// 0.5 x (1 + tanh(z)) = x sigmoid(2z), z = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and Gimpel 2016).
template <class V>
TAUT_INLINE V gelu_tanh(V x) {
  const V t = max(constant<V>(-40), x);
  const V two_z =
      t * fma(t * t, constant<V>(2 * 0.79788456080286535588 * 0.044715), constant<V>(2 * 0.79788456080286535588));
  return t * sigmoid(two_z);
}
template <class V>
TAUT_INLINE V gelu_tanh_derivative(V x) {
  constexpr double kC = 2 * 0.79788456080286535588;
  const V t = min(constant<V>(40), max(constant<V>(-40), x)), t2 = t * t;
  const Sigmoids<V> s = sigmoids(t * fma(t2, constant<V>(kC * 0.044715), constant<V>(kC)));
  return fma(s.plus * s.minus, t * fma(t2, constant<V>(3 * kC * 0.044715), constant<V>(kC)), s.plus);
}

}  // namespace taut::TAUT_MATH
