// Independent chains s = s x + y, more of them than the FMA units' latency times their number: 24 zmm with AVX-512;
// with AVX2 the 16 registers hold 12 ymm beside the factors, which is still enough (latency 4, two units).
#include "kernels/peak.h"

#include "kernels/simd.h"

namespace taut::TAUT_CPU {
namespace {

#ifdef __AVX512F__
using Register = __m512;
constexpr int kChains = 24, kWide = 16;
TAUT_INLINE Register set(float x) { return _mm512_set1_ps(x); }
TAUT_INLINE Register read(const float* p) { return _mm512_loadu_ps(p); }
TAUT_INLINE void write(float* p, Register x) { _mm512_storeu_ps(p, x); }
TAUT_INLINE Register multiply_add(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
#else
using Register = __m256;
constexpr int kChains = 12, kWide = 8;
TAUT_INLINE Register set(float x) { return _mm256_set1_ps(x); }
TAUT_INLINE Register read(const float* p) { return _mm256_loadu_ps(p); }
TAUT_INLINE void write(float* p, Register x) { _mm256_storeu_ps(p, x); }
TAUT_INLINE Register multiply_add(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
#endif

}  // namespace

double run_fma_chains(int64_t steps, float* sink) {
  // s <- s * x + y with |x| < 1 stays finite and normal; read through sink so that nothing is known at compile time.
  const Register x = set(0.5f + *sink), y = set(0.25f + *sink);
  Register s[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i) s[i] = set(static_cast<float>(i));
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i) s[i] = multiply_add(s[i], x, y);
  }
  Register sum = s[0];
#pragma GCC unroll 24
  for (int i = 1; i < kChains; ++i) sum = sum + s[i];
  *sink = sum[0] * 0.0f;
  return 2.0 * kWide * kChains * static_cast<double>(steps);
}

void read_floats(const float* from, int64_t count, float* sink) {
  constexpr int kSums = 8;  // two loads a clock, four clocks an addition
  static_assert(kReadStep % (kSums * kWide) == 0);
  Register s[kSums];
#pragma GCC unroll 8
  for (int i = 0; i < kSums; ++i) s[i] = set(0);
  for (int64_t at = 0; at < count; at += kSums * kWide)
#pragma GCC unroll 8
    for (int i = 0; i < kSums; ++i) s[i] = s[i] + read(from + at + i * kWide);
  Register sum = s[0];
#pragma GCC unroll 8
  for (int i = 1; i < kSums; ++i) sum = sum + s[i];
  *sink = sum[0];
}

void update_floats(float* at, int64_t count) {
  constexpr int kAtOnce = 8;
  static_assert(kReadStep % (kAtOnce * kWide) == 0);
  const Register factor = set(0.5f);
  for (float* const end = at + count; at < end; at += kAtOnce * kWide)
#pragma GCC unroll 8
    for (int i = 0; i < kAtOnce; ++i) write(at + i * kWide, read(at + i * kWide) * factor);
}

}  // namespace taut::TAUT_CPU
