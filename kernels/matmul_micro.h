// The innermost kernel of the matrix product: one tile of c, `rows` by `16 vectors`, over one block of k, in registers.
//
//   sum[i][j] = sum over p < k, ascending, of a(i, p) b(p, j), one FMA chain from zero
//   c[i][j]   = ((before[i][j] + sum[i][j]) + bias[j]) + residual[i][j], each where it is given
//
// Tiles are 14x32 with AVX-512 and 6x16 with AVX2: as many accumulators as leave registers for a row of b and a
// broadcast. Every smaller number of rows exists too, so that m is cut evenly (197 rows are 15 tiles of 13 or 14, not
// 14 and a stub).
#pragma once

#include "kernels/simd.h"

namespace taut::TAUT_CPU {

// Largest tile of a type: rows, and vectors of 16 columns. kBroadcastOperands: every other element of a is broadcast by
// the products themselves, which takes fewer instructions (10 % where two threads share an Intel core); for all of them
// the loads would not fit beside the products. Not under AddressSanitizer, which does not see what assembly reads.
template <class T>
struct TileSize;
#ifdef __AVX512F__
template <>
struct TileSize<float> {
  static constexpr int kRows = 14, kVectors = 2;
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kBroadcastOperands = false;
#else
  static constexpr bool kBroadcastOperands = true;
#endif
};
template <>
struct TileSize<double> {
  static constexpr int kRows = 14, kVectors = 1;
  static constexpr bool kBroadcastOperands = false;
};
#else
template <>
struct TileSize<float> {
  static constexpr int kRows = 6, kVectors = 1;
  static constexpr bool kBroadcastOperands = false;
};
template <>
struct TileSize<double> {
  static constexpr int kRows = 3, kVectors = 1;
  static constexpr bool kBroadcastOperands = false;
};
#endif

// Memory that later tiles will read, fetched a little at a time between the steps of this one: every 16 steps of k the
// lines at next + i*stride and next + i*stride + second for i < pairs, then next += step. Elements.
template <class T>
struct Prefetch {
  const T* next = nullptr;
  int64_t pairs = 0, stride = 0, second = 0, step = 0;
};

template <class T>
struct TileCall {
  int64_t k;   // length of the block
  const T* a;  // as its TileRows say
  int64_t lda;
  const T* b;  // b(p, j) at b[p*ldb + j]; 16 `vectors` columns are read
  int64_t ldb;
  const T* before;  // or null: the sum of the blocks before
  int64_t ldbefore;
  const T* bias;      // or null
  const T* residual;  // or null; rows ldc apart
  T* c;               // may be `before` or `residual`
  int64_t ldc;
  Prefetch<T> prefetch;
};

// How the rows of a tile of a lie.
enum TileRows {
  kApart,   // each contiguous in k: a(i, p) at a[i*lda + p]
  kBeside,  // side by side, k step after k step: a(i, p) at a[p*lda + i]
  kPacked,  // side by side, with nothing between: lda is their number, and b is packed too, ldb = 16 vectors
  kTileRowsCount
};

template <class T, int kRows, int kVectors, TileRows kLie>
void tile_kernel(const TileCall<T>& call) {
  // A pointer to every third row: three addresses each (base, + lda, + 2 lda) keep 14 rows in five general registers.
  constexpr int kBases = kLie == kApart ? (kRows + 2) / 3 : 1;
  const int64_t lda = kLie == kPacked ? kRows : call.lda, ldb = kLie == kPacked ? 16 * kVectors : call.ldb;
  const T* a[kBases];
#pragma GCC unroll 8
  for (int i = 0; i < kBases; ++i) {
    a[i] = call.a + 3 * i * lda;
    asm("" : "+r"(a[i]));  // stops the compiler from merging the bases again, which costs a spill
  }
  const T* b = call.b;
  Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sum[i][j] = broadcast(T(0));
  }
  // The tile of c is needed at the end only: fetch it meanwhile.
  if (call.k >= 16) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      __builtin_prefetch(call.c + i * call.ldc, 1);
      __builtin_prefetch(call.c + i * call.ldc + 16 * kVectors - 1, 1);
    }
  }
  const auto step = [&]() __attribute__((always_inline)) {
    Vec<T> row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) row[j] = load(b + 16 * j);
    b += ldb;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T* const x = kLie == kApart ? a[kLie == kApart ? i / 3 : 0] + (i % 3) * lda : a[0] + i;
      if (TileSize<T>::kBroadcastOperands && i % 2 == 0) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) add_product(sum[i][j], x, row[j]);
      } else {
        const Vec<T> all = broadcast(*x);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) add_product(sum[i][j], all, row[j]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kBases; ++i) a[i] += kLie == kApart ? 1 : lda;
  };
  int64_t p = 0;
  const T* next = call.prefetch.next;
  const int64_t pairs = call.prefetch.pairs;
  for (; p + 16 <= call.k; p += 16) {
    for (int64_t i = 0; i < pairs; ++i) {
      __builtin_prefetch(next + i * call.prefetch.stride, 0, 2);
      __builtin_prefetch(next + i * call.prefetch.stride + call.prefetch.second, 0, 2);
    }
    next += call.prefetch.step;
#pragma GCC unroll 1
    for (int round = 0; round < 4; ++round) {
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) step();
    }
  }
#pragma GCC unroll 1
  for (; p < call.k; ++p) step();
  const auto add = [&](const T* p, int64_t ld) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = load(p + i * ld + 16 * j) + sum[i][j];
    }
  };
  if (call.before != nullptr) add(call.before, call.ldbefore);
  if (call.bias != nullptr) add(call.bias, 0);
  if (call.residual != nullptr) add(call.residual, call.ldc);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(call.c + i * call.ldc + 16 * j, sum[i][j]);
  }
}

template <class T>
using TileKernel = void (*)(const TileCall<T>&);

// The kernels of one type and number of vectors: kernel[rows - 1][how they lie].
template <class T, int kVectors>
struct TileKernels;
#define TAUT_TILE(rows)                                                                \
  {                                                                                    \
    &tile_kernel<T, rows, kVectors, kApart>, &tile_kernel<T, rows, kVectors, kBeside>, \
        &tile_kernel<T, rows, kVectors, kPacked>                                       \
  }
template <class T, int kVectors>
requires(TileSize<T>::kRows == 14) struct TileKernels<T, kVectors> {
  static constexpr TileKernel<T> kKernel[14][kTileRowsCount] = {
      TAUT_TILE(1), TAUT_TILE(2), TAUT_TILE(3),  TAUT_TILE(4),  TAUT_TILE(5),  TAUT_TILE(6),  TAUT_TILE(7),
      TAUT_TILE(8), TAUT_TILE(9), TAUT_TILE(10), TAUT_TILE(11), TAUT_TILE(12), TAUT_TILE(13), TAUT_TILE(14)};
};
template <class T, int kVectors>
requires(TileSize<T>::kRows == 6) struct TileKernels<T, kVectors> {
  static constexpr TileKernel<T> kKernel[6][kTileRowsCount] = {TAUT_TILE(1), TAUT_TILE(2), TAUT_TILE(3),
                                                               TAUT_TILE(4), TAUT_TILE(5), TAUT_TILE(6)};
};
template <class T, int kVectors>
requires(TileSize<T>::kRows == 3) struct TileKernels<T, kVectors> {
  static constexpr TileKernel<T> kKernel[3][kTileRowsCount] = {TAUT_TILE(1), TAUT_TILE(2), TAUT_TILE(3)};
};
#undef TAUT_TILE

}  // namespace taut::TAUT_CPU
