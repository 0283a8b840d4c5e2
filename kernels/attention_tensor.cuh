// What the kernels of attention on tensor cores share (attention_tensor.cu for heads that lie whole in shared memory,
// attention_streamed.cu for all others): a block of four warps has 64 rows of one head, a warp 16 of them; operands in
// bf16, sums in f32.
#pragma once

#include "kernels/attention.h"
#include "kernels/sums.cuh"
#include "kernels/tensor_core.cuh"

namespace taut::TAUT_GPU {
namespace attention {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize, kRows = 16 * kWarps;
constexpr int kColumns = 64;  // of a head that are accumulated at a time
constexpr int64_t kMostWidth = 128;
constexpr size_t kMostShared = size_t{96} << 10;  // what every GPU from sm_80 on gives a block

// Sizes of a call as kernels take them. Rows of a head lie `line` elements apart in shared memory: 8 more than their
// multiple of 16, an odd number of 16 bytes, so that eight rows meet all banks.
struct Sizes {
  AttentionShape s;
  float scale;
  int width, line;  // d rounded up to 16, and with the padding
  bool chunks;      // rows in memory can be had 16 bytes at a time

  Sizes(const AttentionShape& shape, bool aligned)
      : s(shape),
        scale(static_cast<float>(shape.scale)),
        width(static_cast<int>((shape.d + 15) / 16 * 16)),
        line(width + 8),
        chunks(aligned && shape.d % 8 == 0) {}
  size_t bytes(int64_t rows) const { return static_cast<size_t>(rows * line) * sizeof(BF16); }  // in shared memory
  __device__ int64_t step() const { return 3 * s.heads * s.d; }
  __device__ int64_t q(int64_t at) const { return at / s.heads * s.t * 3 * s.heads * s.d + at % s.heads * s.d; }
  __device__ int64_t out(int64_t at) const { return at / s.heads * s.tq * s.heads * s.d + at % s.heads * s.d; }
};

// Begins to copy rows first, first + 1, ... (`distance` apart) to shared memory; zeros from row `end` and column d on.
__device__ inline void begin_rows(const Sizes& z, const BF16* from, int64_t distance, int64_t first, int64_t end,
                                  int rows, BF16* to) {
  const int across = z.width / 8;
  for (int e = static_cast<int>(threadIdx.x); e < rows * across; e += kThreads) {
    const int r = e / across, c = e % across * 8;
    const int64_t left = first + r < end ? z.s.d - c : 0, count = left < 0 ? 0 : left < 8 ? left : 8;
    const BF16* const source = from + (first + r) * distance + c;
    BF16* const place = to + r * z.line + c;
    if (z.chunks) {
      copy_async(place, count > 0 ? source : from, static_cast<int>(count) * 2);
      continue;
    }
    for (int n = 0; n < 8; ++n) place[n] = n < count ? source[n] : BF16{};
  }
}

// Fragments of 16 rows and 16 columns: of operand a, and of two operands b whose rows are results or, transposed, k.
__device__ __forceinline__ void fragment_a(const BF16* rows, int line, uint32_t (&r)[4]) {
  const int m = lane() / 8;
  load_matrices(r, rows + (lane() % 8 + 8 * (m % 2)) * line + 8 * (m / 2));
}
__device__ __forceinline__ void fragment_b(const BF16* rows, int line, uint32_t (&r)[4]) {
  const int m = lane() / 8;
  load_matrices(r, rows + (lane() % 8 + 8 * (m / 2)) * line + 8 * (m % 2));
}
__device__ __forceinline__ void fragment_b_transposed(const BF16* rows, int line, uint32_t (&r)[4]) {
  const int m = lane() / 8;
  load_matrices_transposed(r, rows + (lane() % 8 + 8 * (m % 2)) * line + 8 * (m / 2));
}
// d[0], d[1] (16 x 16 in all) += a b.
__device__ __forceinline__ void mma_pair(float (&d0)[4], float (&d1)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[4]) {
  const uint32_t low[2] = {b[0], b[1]}, high[2] = {b[2], b[3]};
  mma_bf16(d0, a, low);
  mma_bf16(d1, a, high);
}
// Sums of 16 x 16 as operand a of the next product.
__device__ __forceinline__ void pack_a(const float (&d0)[4], const float (&d1)[4], uint32_t (&a)[4]) {
  a[0] = pack_bf16(d0[0], d0[1]);
  a[1] = pack_bf16(d0[2], d0[3]);
  a[2] = pack_bf16(d1[0], d1[1]);
  a[3] = pack_bf16(d1[2], d1[3]);
}

// Rows are held by four lanes each.
__device__ __forceinline__ float row_sum_of_four(float v) {
  v = v + __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}
__device__ __forceinline__ float row_max_of_four(float v) {
  v = max(v, __shfl_xor_sync(kAllLanes, v, 1));
  return max(v, __shfl_xor_sync(kAllLanes, v, 2));
}

// d (16 rows of the warp, all keys) += rows times keysT.
template <int kTiles>
__device__ __forceinline__ void multiply_all(const BF16* rows, const BF16* keys, const Sizes& z,
                                             float (&d)[2 * kTiles][4]) {
  for (int e = 0; e < z.width; e += 16) {
    uint32_t a[4];
    fragment_a(rows + e, z.line, a);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      uint32_t b[4];
      fragment_b(keys + 16 * j * z.line + e, z.line, b);
      mma_pair(d[2 * j], d[2 * j + 1], a, b);
    }
  }
}

// The warp's 16 rows of sums, times factor_g (row group) and factor_8 (row group + 8), through `stage` (16 rows, which
// no lane reads any more) to rows first, first + 1, ... < end of memory, columns `column` on.
__device__ inline void write_rows(const Sizes& z, const float (&o)[kColumns / 8][4], float factor_g, float factor_8,
                                  BF16* stage, int line, BF16* to, int64_t distance, int64_t first, int64_t end,
                                  int column) {
  const int group = lane() / 4, t = lane() % 4, columns = z.width - column < kColumns ? z.width - column : kColumns;
  __syncwarp();
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    if (8 * n >= columns) continue;
    *reinterpret_cast<uint32_t*>(stage + group * line + 8 * n + 2 * t) =
        pack_bf16(o[n][0] * factor_g, o[n][1] * factor_g);
    *reinterpret_cast<uint32_t*>(stage + (group + 8) * line + 8 * n + 2 * t) =
        pack_bf16(o[n][2] * factor_8, o[n][3] * factor_8);
  }
  __syncwarp();
  for (int e = lane(); e < 16 * columns / 8; e += kWarpSize) {
    const int r = e / (columns / 8), c = e % (columns / 8) * 8;
    if (first + r >= end) continue;
    const BF16* const from = stage + r * line + c;
    BF16* const place = to + (first + r) * distance + column + c;
    if (z.chunks && column + c < z.s.d) {
      store4(reinterpret_cast<float*>(place), load4(reinterpret_cast<const float*>(from)));
      continue;
    }
    for (int n = 0; n < 8; ++n)
      if (column + c + n < z.s.d) place[n] = from[n];
  }
}

// Any number of tokens, heads up to kMostWidth wide (attention_streamed.cu). The kernel of keys, dK and dV, follows
// either kernel of queries, which gives it D.
void streamed_forward(Stream stream, const BF16* qkv, BF16* out, float* stats, const Sizes& z);
void streamed_queries(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv, float* mean,
                      const Sizes& z);
void keys_of_all_queries(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, const float* mean,
                         BF16* dqkv, const Sizes& z);

}  // namespace attention
}  // namespace taut::TAUT_GPU
