// Vectors of 16 lanes, the unit of the numeric contract (docs/numerics.md): one zmm or two ymm of floats, two zmm or
// four ymm of doubles, behind one type, so that one kernel source gives the same bytes on AVX2 and AVX-512.
//
// Only for files that CMake compiles once per instruction set (TAUT_CPU is `avx2` or `avx512`). Everything here is in
// that namespace: a weak symbol compiled for AVX-512 must never be linked into the AVX2 half.
#pragma once

#ifndef TAUT_CPU
#error "kernels/simd.h is for the per-instruction-set files of kernels/ only"
#endif

#include <immintrin.h>

#include <cstdint>

// The flags must be those of the half that is compiled: a half without its own instructions would test nothing.
namespace taut::avx2 {
constexpr bool kHasAvx512 = false;
}
namespace taut::avx512 {
constexpr bool kHasAvx512 = true;
}
#ifdef __AVX512F__
static_assert(taut::TAUT_CPU::kHasAvx512, "the AVX2 half is compiled for AVX-512");
#else
static_assert(!taut::TAUT_CPU::kHasAvx512, "the AVX-512 half is compiled without AVX-512");
#endif

namespace taut::TAUT_CPU {

constexpr int64_t kLanes = 16;

template <class T>
struct Vec;  // 16 lanes of T
template <class T>
struct Mask;  // 16 booleans, the result of comparing Vec<T>
template <class T>
struct Ints;  // 16 integers as wide as T (int32 for float, int64 for double)

#define TAUT_INLINE [[gnu::always_inline]] inline
// add_product(sum, x, y): sum = fma(x, y, sum), in sum's register. Between intrinsics g++ 12 moves accumulators from
// one register to another, and spills some where a loop has several steps of a product. y is the first factor
// everywhere: of two NaNs the instruction keeps that one's.
#define TAUT_ADD_PRODUCT(type, s, x, y) asm("vfmadd231" type " %1, %2, %0" : "+v"(s) : "v"(x), "v"(y))

#ifdef __AVX512F__

// ---- float, AVX-512 -------------------------------------------------------------------------------------------------
template <>
struct Vec<float> {
  __m512 v;
};
template <>
struct Mask<float> {
  __mmask16 m;
};
template <>
struct Ints<float> {
  __m512i v;
};
using F = Vec<float>;
using FM = Mask<float>;
using FI = Ints<float>;

TAUT_INLINE __mmask16 lanes_mask(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
TAUT_INLINE F broadcast(float x) { return {_mm512_set1_ps(x)}; }
TAUT_INLINE F load(const float* p) { return {_mm512_loadu_ps(p)}; }
TAUT_INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
// The first n lanes, 0 <= n <= 16; the others load as zero and are not stored.
TAUT_INLINE F load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(lanes_mask(n), p)}; }
TAUT_INLINE void store_partial(float* p, F a, int64_t n) { _mm512_mask_storeu_ps(p, lanes_mask(n), a.v); }
TAUT_INLINE F operator+(F a, F b) { return {_mm512_add_ps(a.v, b.v)}; }
TAUT_INLINE F operator-(F a, F b) { return {_mm512_sub_ps(a.v, b.v)}; }
TAUT_INLINE F operator*(F a, F b) { return {_mm512_mul_ps(a.v, b.v)}; }
TAUT_INLINE F operator/(F a, F b) { return {_mm512_div_ps(a.v, b.v)}; }
TAUT_INLINE F fma(F a, F b, F c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
TAUT_INLINE void add_product(F& sum, F x, F y) { TAUT_ADD_PRODUCT("ps", sum.v, x.v, y.v); }
// *x in every lane; with AVX-512 it is the instruction's operand.
TAUT_INLINE void add_product(F& sum, const float* x, F y) {
  asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum.v) : "v"(y.v), "m"(*x));
}
TAUT_INLINE F max(F a, F b) { return {_mm512_max_ps(a.v, b.v)}; }  // b where either is NaN
TAUT_INLINE F min(F a, F b) { return {_mm512_min_ps(a.v, b.v)}; }
TAUT_INLINE F sqrt(F a) { return {_mm512_sqrt_ps(a.v)}; }
TAUT_INLINE F abs(F a) { return {_mm512_abs_ps(a.v)}; }
TAUT_INLINE F copysign(F a, F s) {
  const __m512i sign = _mm512_set1_epi32(INT32_MIN);
  return {
      _mm512_castsi512_ps(_mm512_ternarylogic_epi32(sign, _mm512_castps_si512(s.v), _mm512_castps_si512(a.v), 0xca))};
}
TAUT_INLINE F round_even(F a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
TAUT_INLINE FM less(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
TAUT_INLINE FM less_equal(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
TAUT_INLINE FM equal(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
TAUT_INLINE FM is_nan(F a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
TAUT_INLINE F select(FM m, F a, F b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }  // m ? a : b
TAUT_INLINE bool any(FM m) { return m.m != 0; }
TAUT_INLINE FI to_int(F a) { return {_mm512_cvtps_epi32(a.v)}; }  // rounds to nearest even
TAUT_INLINE F to_real(FI a) { return {_mm512_cvtepi32_ps(a.v)}; }
TAUT_INLINE FI as_int(F a) { return {_mm512_castps_si512(a.v)}; }
TAUT_INLINE F as_real(FI a) { return {_mm512_castsi512_ps(a.v)}; }
TAUT_INLINE FI ints(const F&, int64_t x) { return {_mm512_set1_epi32(static_cast<int32_t>(x))}; }
TAUT_INLINE FI operator+(FI a, FI b) { return {_mm512_add_epi32(a.v, b.v)}; }
TAUT_INLINE FI operator-(FI a, FI b) { return {_mm512_sub_epi32(a.v, b.v)}; }
TAUT_INLINE FI operator&(FI a, FI b) { return {_mm512_and_si512(a.v, b.v)}; }
TAUT_INLINE FI operator|(FI a, FI b) { return {_mm512_or_si512(a.v, b.v)}; }
template <int n>
TAUT_INLINE FI shift_left(FI a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
TAUT_INLINE FI shift_right(FI a) {  // arithmetic
  return {_mm512_srai_epi32(a.v, n)};
}
// The contract's fold of one vector: lane l with lane l+8, then +4, +2, +1. fold_max goes the same way, by max(l, l+8).
TAUT_INLINE float fold_sum(F a) {
  const __m256 h8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_shuffle_ps(h2, h2, 1)));
}
TAUT_INLINE float fold_max(F a) {
  const __m256 h8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_shuffle_ps(h2, h2, 1)));
}

// ---- double, AVX-512 ------------------------------------------------------------------------------------------------
template <>
struct Vec<double> {
  __m512d a, b;
};
template <>
struct Mask<double> {
  __mmask8 a, b;
};
using D = Vec<double>;
using DM = Mask<double>;

TAUT_INLINE D broadcast(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
TAUT_INLINE D load(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
TAUT_INLINE void store(double* p, D x) {
  _mm512_storeu_pd(p, x.a);
  _mm512_storeu_pd(p + 8, x.b);
}
TAUT_INLINE D load_partial(const double* p, int64_t n) {
  const auto m = static_cast<uint32_t>((1u << n) - 1u);
  return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(m), p),
          _mm512_maskz_loadu_pd(static_cast<__mmask8>(m >> 8), p + 8)};
}
TAUT_INLINE void store_partial(double* p, D x, int64_t n) {
  const auto m = static_cast<uint32_t>((1u << n) - 1u);
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(m), x.a);
  _mm512_mask_storeu_pd(p + 8, static_cast<__mmask8>(m >> 8), x.b);
}
TAUT_INLINE D operator+(D x, D y) { return {_mm512_add_pd(x.a, y.a), _mm512_add_pd(x.b, y.b)}; }
TAUT_INLINE D operator-(D x, D y) { return {_mm512_sub_pd(x.a, y.a), _mm512_sub_pd(x.b, y.b)}; }
TAUT_INLINE D operator*(D x, D y) { return {_mm512_mul_pd(x.a, y.a), _mm512_mul_pd(x.b, y.b)}; }
TAUT_INLINE D operator/(D x, D y) { return {_mm512_div_pd(x.a, y.a), _mm512_div_pd(x.b, y.b)}; }
TAUT_INLINE D fma(D x, D y, D z) { return {_mm512_fmadd_pd(x.a, y.a, z.a), _mm512_fmadd_pd(x.b, y.b, z.b)}; }
TAUT_INLINE void add_product(D& sum, D x, D y) {
  TAUT_ADD_PRODUCT("pd", sum.a, x.a, y.a);
  TAUT_ADD_PRODUCT("pd", sum.b, x.b, y.b);
}
TAUT_INLINE void add_product(D& sum, const double* x, D y) { add_product(sum, broadcast(*x), y); }
TAUT_INLINE D max(D x, D y) { return {_mm512_max_pd(x.a, y.a), _mm512_max_pd(x.b, y.b)}; }
TAUT_INLINE D min(D x, D y) { return {_mm512_min_pd(x.a, y.a), _mm512_min_pd(x.b, y.b)}; }
TAUT_INLINE D sqrt(D x) { return {_mm512_sqrt_pd(x.a), _mm512_sqrt_pd(x.b)}; }
TAUT_INLINE D abs(D x) { return {_mm512_abs_pd(x.a), _mm512_abs_pd(x.b)}; }
TAUT_INLINE DM less(D x, D y) {
  return {_mm512_cmp_pd_mask(x.a, y.a, _CMP_LT_OQ), _mm512_cmp_pd_mask(x.b, y.b, _CMP_LT_OQ)};
}
TAUT_INLINE DM less_equal(D x, D y) {
  return {_mm512_cmp_pd_mask(x.a, y.a, _CMP_LE_OQ), _mm512_cmp_pd_mask(x.b, y.b, _CMP_LE_OQ)};
}
TAUT_INLINE DM equal(D x, D y) {
  return {_mm512_cmp_pd_mask(x.a, y.a, _CMP_EQ_OQ), _mm512_cmp_pd_mask(x.b, y.b, _CMP_EQ_OQ)};
}
TAUT_INLINE DM is_nan(D x) {
  return {_mm512_cmp_pd_mask(x.a, x.a, _CMP_UNORD_Q), _mm512_cmp_pd_mask(x.b, x.b, _CMP_UNORD_Q)};
}
TAUT_INLINE D select(DM m, D x, D y) {
  return {_mm512_mask_blend_pd(m.a, y.a, x.a), _mm512_mask_blend_pd(m.b, y.b, x.b)};
}
TAUT_INLINE bool any(DM m) { return (m.a | m.b) != 0; }
TAUT_INLINE double fold_sum(D x) {
  const __m512d h8 = _mm512_add_pd(x.a, x.b);
  const __m256d h4 = _mm256_add_pd(_mm512_castpd512_pd256(h8), _mm512_extractf64x4_pd(h8, 1));
  const __m128d h2 = _mm_add_pd(_mm256_castpd256_pd128(h4), _mm256_extractf128_pd(h4, 1));
  return _mm_cvtsd_f64(_mm_add_sd(h2, _mm_unpackhi_pd(h2, h2)));
}
TAUT_INLINE double fold_max(D x) {
  const __m512d h8 = _mm512_max_pd(x.a, x.b);
  const __m256d h4 = _mm256_max_pd(_mm512_castpd512_pd256(h8), _mm512_extractf64x4_pd(h8, 1));
  const __m128d h2 = _mm_max_pd(_mm256_castpd256_pd128(h4), _mm256_extractf128_pd(h4, 1));
  return _mm_cvtsd_f64(_mm_max_sd(h2, _mm_unpackhi_pd(h2, h2)));
}

#else  // AVX2

// ---- float, AVX2 ----------------------------------------------------------------------------------------------------
template <>
struct Vec<float> {
  __m256 a, b;
};
template <>
struct Mask<float> {
  __m256 a, b;
};
template <>
struct Ints<float> {
  __m256i a, b;
};
using F = Vec<float>;
using FM = Mask<float>;
using FI = Ints<float>;

// All ones in the first n of 8 lanes; n may be below 0 or above 8.
TAUT_INLINE __m256i lanes_mask8(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), lane);
}
TAUT_INLINE __m256i lanes_mask4(int64_t n) {
  const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lane);
}
TAUT_INLINE F broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
TAUT_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
TAUT_INLINE void store(float* p, F x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
TAUT_INLINE F load_partial(const float* p, int64_t n) {
  return {_mm256_maskload_ps(p, lanes_mask8(n)), _mm256_maskload_ps(p + 8, lanes_mask8(n - 8))};
}
TAUT_INLINE void store_partial(float* p, F x, int64_t n) {
  _mm256_maskstore_ps(p, lanes_mask8(n), x.a);
  _mm256_maskstore_ps(p + 8, lanes_mask8(n - 8), x.b);
}
TAUT_INLINE F operator+(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
TAUT_INLINE F operator-(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
TAUT_INLINE F operator*(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
TAUT_INLINE F operator/(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
TAUT_INLINE F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
TAUT_INLINE void add_product(F& sum, F x, F y) {
  TAUT_ADD_PRODUCT("ps", sum.a, x.a, y.a);
  TAUT_ADD_PRODUCT("ps", sum.b, x.b, y.b);
}
TAUT_INLINE void add_product(F& sum, const float* x, F y) { add_product(sum, broadcast(*x), y); }
TAUT_INLINE F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }  // y where either is NaN
TAUT_INLINE F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
TAUT_INLINE F sqrt(F x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
TAUT_INLINE F abs(F x) {
  const __m256 m = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
  return {_mm256_and_ps(m, x.a), _mm256_and_ps(m, x.b)};
}
TAUT_INLINE F copysign(F x, F s) {
  const __m256 m = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN));
  return {_mm256_or_ps(_mm256_andnot_ps(m, x.a), _mm256_and_ps(m, s.a)),
          _mm256_or_ps(_mm256_andnot_ps(m, x.b), _mm256_and_ps(m, s.b))};
}
TAUT_INLINE F round_even(F x) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
TAUT_INLINE FM less(F x, F y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)}; }
TAUT_INLINE FM less_equal(F x, F y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_LE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LE_OQ)};
}
TAUT_INLINE FM equal(F x, F y) { return {_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)}; }
TAUT_INLINE FM is_nan(F x) { return {_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q), _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q)}; }
TAUT_INLINE F select(FM m, F x, F y) { return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)}; }
TAUT_INLINE bool any(FM m) { return (_mm256_movemask_ps(m.a) | _mm256_movemask_ps(m.b)) != 0; }
TAUT_INLINE FI to_int(F x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
TAUT_INLINE F to_real(FI x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
TAUT_INLINE FI as_int(F x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
TAUT_INLINE F as_real(FI x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
TAUT_INLINE FI ints(const F&, int64_t x) {
  return {_mm256_set1_epi32(static_cast<int32_t>(x)), _mm256_set1_epi32(static_cast<int32_t>(x))};
}
TAUT_INLINE FI operator+(FI x, FI y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
TAUT_INLINE FI operator-(FI x, FI y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
TAUT_INLINE FI operator&(FI x, FI y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
TAUT_INLINE FI operator|(FI x, FI y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
template <int n>
TAUT_INLINE FI shift_left(FI x) {
  return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
template <int n>
TAUT_INLINE FI shift_right(FI x) {
  return {_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
TAUT_INLINE float fold_sum(F x) {
  const __m256 h8 = _mm256_add_ps(x.a, x.b);
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_shuffle_ps(h2, h2, 1)));
}
TAUT_INLINE float fold_max(F x) {
  const __m256 h8 = _mm256_max_ps(x.a, x.b);
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_shuffle_ps(h2, h2, 1)));
}

// ---- double, AVX2 ---------------------------------------------------------------------------------------------------
template <>
struct Vec<double> {
  __m256d q[4];
};
template <>
struct Mask<double> {
  __m256d q[4];
};
using D = Vec<double>;
using DM = Mask<double>;

#define TAUT_EACH4(expression) \
  { expression(0), expression(1), expression(2), expression(3) }
TAUT_INLINE D broadcast(double x) {
  const __m256d v = _mm256_set1_pd(x);
  return {{v, v, v, v}};
}
#define E(i) _mm256_loadu_pd(p + 4 * i)
TAUT_INLINE D load(const double* p) { return {TAUT_EACH4(E)}; }
#undef E
TAUT_INLINE void store(double* p, D x) {
  for (int i = 0; i < 4; ++i) _mm256_storeu_pd(p + 4 * i, x.q[i]);
}
#define E(i) _mm256_maskload_pd(p + 4 * i, lanes_mask4(n - 4 * i))
TAUT_INLINE D load_partial(const double* p, int64_t n) { return {TAUT_EACH4(E)}; }
#undef E
TAUT_INLINE void store_partial(double* p, D x, int64_t n) {
  for (int i = 0; i < 4; ++i) _mm256_maskstore_pd(p + 4 * i, lanes_mask4(n - 4 * i), x.q[i]);
}
#define E(i) _mm256_add_pd(x.q[i], y.q[i])
TAUT_INLINE D operator+(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_sub_pd(x.q[i], y.q[i])
TAUT_INLINE D operator-(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_mul_pd(x.q[i], y.q[i])
TAUT_INLINE D operator*(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_div_pd(x.q[i], y.q[i])
TAUT_INLINE D operator/(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_fmadd_pd(x.q[i], y.q[i], z.q[i])
TAUT_INLINE D fma(D x, D y, D z) { return {TAUT_EACH4(E)}; }
#undef E
TAUT_INLINE void add_product(D& sum, D x, D y) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) TAUT_ADD_PRODUCT("pd", sum.q[i], x.q[i], y.q[i]);
}
TAUT_INLINE void add_product(D& sum, const double* x, D y) { add_product(sum, broadcast(*x), y); }
#define E(i) _mm256_max_pd(x.q[i], y.q[i])
TAUT_INLINE D max(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_min_pd(x.q[i], y.q[i])
TAUT_INLINE D min(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_sqrt_pd(x.q[i])
TAUT_INLINE D sqrt(D x) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_andnot_pd(sign, x.q[i])
TAUT_INLINE D abs(D x) {
  const __m256d sign = _mm256_set1_pd(-0.0);
  return {TAUT_EACH4(E)};
}
#undef E
#define E(i) _mm256_cmp_pd(x.q[i], y.q[i], _CMP_LT_OQ)
TAUT_INLINE DM less(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_cmp_pd(x.q[i], y.q[i], _CMP_LE_OQ)
TAUT_INLINE DM less_equal(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_cmp_pd(x.q[i], y.q[i], _CMP_EQ_OQ)
TAUT_INLINE DM equal(D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_cmp_pd(x.q[i], x.q[i], _CMP_UNORD_Q)
TAUT_INLINE DM is_nan(D x) { return {TAUT_EACH4(E)}; }
#undef E
#define E(i) _mm256_blendv_pd(y.q[i], x.q[i], m.q[i])
TAUT_INLINE D select(DM m, D x, D y) { return {TAUT_EACH4(E)}; }
#undef E
TAUT_INLINE bool any(DM m) {
  return _mm256_movemask_pd(_mm256_or_pd(_mm256_or_pd(m.q[0], m.q[1]), _mm256_or_pd(m.q[2], m.q[3]))) != 0;
}
TAUT_INLINE double fold_sum(D x) {
  const __m256d h4 = _mm256_add_pd(_mm256_add_pd(x.q[0], x.q[2]), _mm256_add_pd(x.q[1], x.q[3]));
  const __m128d h2 = _mm_add_pd(_mm256_castpd256_pd128(h4), _mm256_extractf128_pd(h4, 1));
  return _mm_cvtsd_f64(_mm_add_sd(h2, _mm_unpackhi_pd(h2, h2)));
}
TAUT_INLINE double fold_max(D x) {
  const __m256d h4 = _mm256_max_pd(_mm256_max_pd(x.q[0], x.q[2]), _mm256_max_pd(x.q[1], x.q[3]));
  const __m128d h2 = _mm_max_pd(_mm256_castpd256_pd128(h4), _mm256_extractf128_pd(h4, 1));
  return _mm_cvtsd_f64(_mm_max_sd(h2, _mm_unpackhi_pd(h2, h2)));
}
#undef TAUT_EACH4

#endif

// ---- the contract's row sum -----------------------------------------------------------------------------------------

// 64 partial sums: element i of a row goes to partial i mod 64, i ascending; folded by halving, 32, 16, ... 1. `add`
// takes 64 elements or the tail of a row.
template <class T>
struct RowSum {
  Vec<T> p[4];
  TAUT_INLINE RowSum() {
    for (auto& v : p) v = broadcast(T(0));
  }
  TAUT_INLINE Vec<T> lanes() const { return (p[0] + p[2]) + (p[1] + p[3]); }
  TAUT_INLINE T fold() const { return fold_sum(lanes()); }
};

// Sum over i < n of term(i, count): the vector of terms for elements i .. i+15, of which `count` exist; the terms of
// lanes that do not exist must be +0. Order: the contract's. As lanes whose fold_sum is the sum: folds of many rows are
// better done together than each in the way of the next row.
template <class T, class Term>
TAUT_INLINE Vec<T> row_sum_lanes(int64_t n, Term&& term) {
  RowSum<T> sum;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (int j = 0; j < 4; ++j) sum.p[j] = sum.p[j] + term(i + 16 * j, int64_t{16});
  }
  for (int j = 0; j < 4 && i < n; ++j, i += 16) sum.p[j] = sum.p[j] + term(i, n - i < 16 ? n - i : int64_t{16});
  return sum.lanes();
}
template <class T, class Term>
TAUT_INLINE T row_sum(int64_t n, Term&& term) {
  return fold_sum(row_sum_lanes<T>(n, term));
}

}  // namespace taut::TAUT_CPU
