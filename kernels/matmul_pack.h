// Packing of operands for the matrix product: a panel of b as [k][width], a tile of a as [k][rows]. Only n is padded,
// never k (docs/numerics.md).
#pragma once

#include "kernels/simd.h"

namespace taut::TAUT_CPU {

// Rows of a that this many panels of b go over, or more, are packed.
constexpr int64_t kPackedPanels = 4;

// Loads `count` lanes (0..16, the others zero); the whole vector where it can, since masked loads cost more on AVX2.
template <class T>
TAUT_INLINE Vec<T> load_up_to(const T* p, int64_t count) {
  return count >= kLanes ? load(p) : load_partial(p, count);
}

template <class T>
TAUT_INLINE void store_up_to(T* p, Vec<T> x, int64_t count) {
  if (count >= kLanes)
    store(p, x);
  else
    store_partial(p, x, count);
}

#ifdef __AVX512F__
TAUT_INLINE void transpose16(Vec<float> (&r)[16]) {
  constexpr __mmask16 kAll = 0xffff;  // the forms without a mask draw a false "uninitialized" warning from g++ 12
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_maskz_unpacklo_ps(kAll, r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm512_maskz_unpackhi_ps(kAll, r[2 * i].v, r[2 * i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // r[4i+q]: column q of every group of four, rows 4i .. 4i+3
    r[4 * i].v = _mm512_maskz_shuffle_ps(kAll, t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1].v = _mm512_maskz_shuffle_ps(kAll, t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2].v = _mm512_maskz_shuffle_ps(kAll, t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3].v = _mm512_maskz_shuffle_ps(kAll, t[4 * i + 1], t[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {  // a 4x4 transpose of 128-bit lanes
    const __m512 a = _mm512_maskz_shuffle_f32x4(kAll, r[q].v, r[4 + q].v, 0x88),
                 b = _mm512_maskz_shuffle_f32x4(kAll, r[q].v, r[4 + q].v, 0xdd);
    const __m512 c = _mm512_maskz_shuffle_f32x4(kAll, r[8 + q].v, r[12 + q].v, 0x88);
    const __m512 d = _mm512_maskz_shuffle_f32x4(kAll, r[8 + q].v, r[12 + q].v, 0xdd);
    t[q] = _mm512_maskz_shuffle_f32x4(kAll, a, c, 0x88);
    t[4 + q] = _mm512_maskz_shuffle_f32x4(kAll, b, d, 0x88);
    t[8 + q] = _mm512_maskz_shuffle_f32x4(kAll, a, c, 0xdd);
    t[12 + q] = _mm512_maskz_shuffle_f32x4(kAll, b, d, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i].v = t[i];
}
#else
TAUT_INLINE void transpose8(__m256 (&r)[8]) {
  __m256 t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int q = 0; q < 4; ++q) {
    t[q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x20);
    t[4 + q] = _mm256_permute2f128_ps(r[q], r[4 + q], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}
#endif

// dst[p*width + j] = src[j*ld + p] for p < 16, j < 16: whole cache lines are read, and transposed in registers.
TAUT_INLINE void pack_transposed_block(const float* src, int64_t ld, float* dst, int64_t width) {
#ifdef __AVX512F__
  Vec<float> r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = load(src + i * ld);
  transpose16(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store(dst + i * width, r[i]);
#else
  for (int half = 0; half < 2; ++half) {
    for (int side = 0; side < 2; ++side) {
      __m256 r[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(src + (8 * half + i) * ld + 8 * side);
      transpose8(r);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) _mm256_storeu_ps(dst + (8 * side + i) * width + 8 * half, r[i]);
    }
  }
#endif
}

TAUT_INLINE void pack_transposed_block(const double* src, int64_t ld, double* dst, int64_t width) {
  for (int i = 0; i < 16; ++i)
    for (int p = 0; p < 16; ++p) dst[p * width + i] = src[i * ld + p];
}

// One panel of a transposed b: dst[p*width + j] = src[j*ld + p], p < k, j < cols; columns cols .. width-1 become zero.
template <class T>
void pack_b_transposed(const T* src, int64_t ld, int64_t k, int64_t cols, int64_t width, T* dst) {
  for (int64_t j = 0; j < width; j += kLanes) {
    const int64_t valid = cols - j < kLanes ? cols - j : kLanes;
    int64_t p = 0;
    if (valid == kLanes) {
      for (; p + 16 <= k; p += 16) pack_transposed_block(src + j * ld + p, ld, dst + p * width + j, width);
    }
    if (p == k) continue;
    for (int64_t i = 0; i < kLanes; ++i) {
      T* to = dst + j + i;
      if (i < valid)
        for (int64_t q = p; q < k; ++q) to[q * width] = src[(j + i) * ld + q];
      else
        for (int64_t q = p; q < k; ++q) to[q * width] = T(0);
    }
  }
}

// One panel of b as it is stored: dst[p*width + j] = src[p*ld + j], columns from cols on become zero.
template <class T>
void pack_b_plain(const T* src, int64_t ld, int64_t k, int64_t cols, int64_t width, T* dst) {
  if (cols == width) {
    for (int64_t p = 0; p < k; ++p)
      for (int64_t j = 0; j < width; j += kLanes) store(dst + p * width + j, load(src + p * ld + j));
    return;
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < width; j += kLanes) {
      const int64_t valid = cols - j;
      store(dst + p * width + j, valid <= 0 ? broadcast(T(0)) : load_up_to(src + p * ld + j, valid));
    }
  }
}

// dst[p*rows + i] = src[p*ld + i] for p < k, i < rows: some steps of k of one tile of a transposed a.
template <class T, int kRows>
void pack_a_steps(const T* src, int64_t ld, int64_t k, T* dst) {
  for (int64_t p = 0; p < k; ++p) __builtin_memcpy(dst + p * kRows, src + p * ld, kRows * sizeof(T));
}

// dst[p*rows + i] = src[i*ld + p] for p < k, i < rows: a tile of rows of a, side by side. Whole registers are written:
// up to 15 elements behind the tile are overwritten.
template <class T>
void pack_a_rows(const T* src, int64_t ld, int64_t rows, int64_t k, T* dst) {
  int64_t p = 0;
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    for (; p + 16 <= k; p += 16) {
      Vec<T> r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) r[i] = load(src + (i < rows ? i : 0) * ld + p);
      transpose16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) store(dst + (p + i) * rows, r[i]);
    }
  }
#else
  if constexpr (sizeof(T) == 4) {
    for (; p + 8 <= k; p += 8) {
      __m256 r[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(src + (i < rows ? i : 0) * ld + p);
      transpose8(r);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) _mm256_storeu_ps(dst + (p + i) * rows, r[i]);
    }
  }
#endif
  for (; p < k; ++p)
    for (int64_t i = 0; i < rows; ++i) dst[p * rows + i] = src[i * ld + p];
}

}  // namespace taut::TAUT_CPU
