// Attention of bf16 on tensor cores, where the keys and values of a head fit into shared memory (256 tokens of width
// 64; kernels/attention.h has the formulas): scores in f32, P and dS rounded to bf16 where they enter a product.
// Outside the numeric contract, and deterministic: every element has one warp that adds it up. What does not fit is
// streamed (attention_streamed.cu); heads wider than 128 go through floats and the general kernels.
//
// Whole rows of scores stay in registers, so the softmax needs no second pass and no rescaling; K and V of the head lie
// whole in shared memory. Backward: the same for dQ, which also gives D, up to 208 tokens (ptxas, sm_90: 248 registers;
// for 256 it would spill); dK and dV are attention_streamed.cu's.
#include "kernels/attention_tensor.cuh"
#include "kernels/pointwise.h"

namespace taut::TAUT_GPU {
namespace {

using namespace attention;

// The two numbers of a word of bf16.
__device__ __forceinline__ float low_of(uint32_t pair) { return as_real(static_cast<int32_t>(pair << 16)); }
__device__ __forceinline__ float high_of(uint32_t pair) { return as_real(static_cast<int32_t>(pair & 0xffff0000u)); }

// out rows of the warp = factors times p (16 x all keys, as operands a) times `values`, all columns.
template <int kTiles>
__device__ void multiply_and_write(const Sizes& z, const uint32_t (&p)[kTiles][4], const BF16* values, float factor_g,
                                   float factor_8, BF16* stage, BF16* to, int64_t distance, int64_t first,
                                   int64_t end) {
  for (int column = 0; column < z.width; column += kColumns) {
    float o[kColumns / 8][4] = {};
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int n = 0; n < kColumns / 16; ++n) {
        if (column + 16 * n >= z.width) continue;
        uint32_t b[4];
        fragment_b_transposed(values + 16 * j * z.line + column + 16 * n, z.line, b);
        mma_pair(o[2 * n], o[2 * n + 1], p[j], b);
      }
    write_rows(z, o, factor_g, factor_8, stage, z.line, to, distance, first, end, column);
  }
}

// What a block of the kernels of queries works on, in shared memory: its 64 queries, with the rows of dout that belong
// to them, and the head's keys and values.
struct QueryBlock {
  BF16 *q, *upstream, *keys, *values;
  const BF16* head;          // the head's first query in memory
  int64_t at, first, width;  // the head's number, the block's first query, elements of a token of all heads
  int mine;                  // the warp's first row
};

// Begins to copy, and waits until queries and keys are there: the rest comes with wait_for_copies<0> and a barrier.
// `dout`: null for the forward pass.
template <int kTiles>
__device__ __forceinline__ QueryBlock begin_queries(const BF16* qkv, const BF16* dout, const Sizes& z) {
  Shared shared;
  QueryBlock b;
  b.q = shared.take<BF16>(kRows * z.line);
  b.upstream = dout == nullptr ? nullptr : shared.take<BF16>(kRows * z.line);
  b.keys = shared.take<BF16>(16 * kTiles * z.line);
  b.values = shared.take<BF16>(16 * kTiles * z.line);
  const unsigned across = pieces(dout == nullptr ? z.s.tq : z.s.t, kRows);
  b.at = blockIdx.x / across;
  b.first = static_cast<int64_t>(blockIdx.x % across) * kRows;
  b.width = z.s.heads * z.s.d;
  b.head = qkv + z.q(b.at);
  b.mine = static_cast<int>(threadIdx.x) / kWarpSize * 16;
  begin_rows(z, b.head, z.step(), b.first, z.s.tq, kRows, b.q);
  begin_rows(z, b.head + b.width, z.step(), 0, z.s.t, 16 * kTiles, b.keys);
  commit_copies();
  if (dout != nullptr) begin_rows(z, dout + z.out(b.at), b.width, b.first, z.s.tq, kRows, b.upstream);
  begin_rows(z, b.head + 2 * b.width, z.step(), 0, z.s.t, 16 * kTiles, b.values);
  commit_copies();
  wait_for_copies<1>();
  __syncthreads();
  return b;
}

// ---- forward --------------------------------------------------------------------------------------------------------

template <int kTiles>
__global__ void __launch_bounds__(kThreads)
    attention_tensor_forward_kernel(const BF16* qkv, BF16* out, float* stats, Sizes z) {
  const QueryBlock b = begin_queries<kTiles>(qkv, nullptr, z);
  const int group = lane() / 4, t = lane() % 4;
  float p[2 * kTiles][4] = {};
  multiply_all<kTiles>(b.q + b.mine * z.line, b.keys, z, p);
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float m = -__builtin_inff();
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& s = p[n][2 * half + e];
        s = 8 * n + 2 * t + e < z.s.t ? s * z.scale : -__builtin_inff();
        m = max(m, s);
      }
    m = row_max_of_four(m);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& s = p[n][2 * half + e];
        s = exp(s - m);
        sum = sum + s;
      }
    factor[half] = 1.0f / row_sum_of_four(sum);
    const int64_t i = b.first + b.mine + group + 8 * half;
    if (stats == nullptr || t != 0 || i >= z.s.tq) continue;
    stats[2 * (b.at * z.s.tq + i)] = m;
    stats[2 * (b.at * z.s.tq + i) + 1] = factor[half];
  }
  uint32_t a[kTiles][4];
#pragma unroll
  for (int j = 0; j < kTiles; ++j) pack_a(p[2 * j], p[2 * j + 1], a[j]);
  wait_for_copies<0>();
  __syncthreads();
  multiply_and_write<kTiles>(z, a, b.values, factor[0], factor[1], b.q + b.mine * z.line, out + z.out(b.at), b.width,
                             b.first + b.mine, z.s.tq);
}

// ---- backward -------------------------------------------------------------------------------------------------------

// dQ, and mean (b, heads, tq) = D for the kernel of keys. Queries from tq on get zeros.
template <int kTiles>
__global__ void __launch_bounds__(kThreads)
    attention_tensor_queries_kernel(const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv, float* mean,
                                    Sizes z) {
  const QueryBlock b = begin_queries<kTiles>(qkv, dout, z);
  const int group = lane() / 4, t = lane() % 4;
  uint32_t p[kTiles][4];  // P, then dS
  {
    float s[2 * kTiles][4] = {};
    multiply_all<kTiles>(b.q + b.mine * z.line, b.keys, z, s);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = b.first + b.mine + group + 8 * half;
      const bool exists = i < z.s.tq;
      const float m = exists ? stats[2 * (b.at * z.s.tq + i)] : 0,
                  inverse = exists ? stats[2 * (b.at * z.s.tq + i) + 1] : 0;
#pragma unroll
      for (int n = 0; n < 2 * kTiles; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& v = s[n][2 * half + e];
          v = exists && 8 * n + 2 * t + e < z.s.t ? exp(v * z.scale - m) * inverse : 0;
        }
    }
#pragma unroll
    for (int j = 0; j < kTiles; ++j) pack_a(s[2 * j], s[2 * j + 1], p[j]);
  }
  wait_for_copies<0>();
  __syncthreads();
  float dp[2 * kTiles][4] = {};
  multiply_all<kTiles>(b.upstream + b.mine * z.line, b.values, z, dp);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t i = b.first + b.mine + group + 8 * half;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      const uint32_t pair = p[n / 2][n % 2 * 2 + half];
      sum = fma(low_of(pair), dp[n][2 * half], sum);
      sum = fma(high_of(pair), dp[n][2 * half + 1], sum);
    }
    const float d = row_sum_of_four(sum);
    if (t == 0 && i < z.s.tq) mean[b.at * z.s.tq + i] = d;
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      uint32_t& pair = p[n / 2][n % 2 * 2 + half];
      pair =
          i < z.s.tq ? pack_bf16(low_of(pair) * (dp[n][2 * half] - d), high_of(pair) * (dp[n][2 * half + 1] - d)) : 0;
    }
  }
  multiply_and_write<kTiles>(z, p, b.keys, z.scale, z.scale, b.q + b.mine * z.line, dqkv + z.q(b.at), z.step(),
                             b.first + b.mine, z.s.t);
}

template <int kTiles>
struct Tiles {
  static constexpr int count = kTiles;
};
// f(how many times 16 tokens), at most kMost: ViT's 197 tokens are 13.
template <int kMost, class F>
void by_tokens(int64_t t, F&& f) {
  if (t <= 64) return f(Tiles<4>{});
  if (kMost == 13 || t <= 208) return f(Tiles<13>{});
  f(Tiles<kMost>{});
}

// Whether `own` rows and the head's keys and values, rounded up as by_tokens does, fit into shared memory.
template <int kMost>
bool fits(const Sizes& z, int own) {
  const int64_t tokens = z.s.t <= 64 ? 64 : z.s.t <= 208 ? 208 : 16 * kMost;
  return z.s.t <= tokens && z.bytes(own + 2 * tokens) <= kMostShared;
}

}  // namespace

template <>
void attention_forward<BF16>(Stream stream, const BF16* qkv, BF16* out, float* stats, const AttentionShape& s) {
  if (s.b * s.heads * s.tq * s.d == 0) return;
  const Sizes z(s, aligned16(qkv) && aligned16(out));
  if (s.d > kMostWidth) {
    const int64_t n = s.b * s.t * 3 * s.heads * s.d, m = s.b * s.tq * s.heads * s.d;
    const DeviceScratch<float> in(n), result(m);
    cast<BF16, float>(stream, qkv, in, n);
    attention_forward<float>(stream, in, result, stats, s);
    return cast<float, BF16>(stream, result, out, m);
  }
  if (!fits<16>(z, kRows)) return streamed_forward(stream, qkv, out, stats, z);
  by_tokens<16>(s.t, [&](auto tiles) {
    constexpr int kTiles = decltype(tiles)::count;
    launch(attention_tensor_forward_kernel<kTiles>,
           rows_of_blocks(pieces(s.tq, kRows), static_cast<unsigned>(s.b * s.heads)), kThreads,
           z.bytes(kRows + 2 * 16 * kTiles), stream, qkv, out, stats, z);
  });
}

template <>
void attention_backward<BF16>(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv,
                              const AttentionShape& s) {
  if (s.b * s.heads * s.t * s.d == 0) return;
  const Sizes z(s, aligned16(qkv) && aligned16(dout) && aligned16(dqkv));
  if (s.d > kMostWidth) {
    const int64_t n = s.b * s.t * 3 * s.heads * s.d, m = s.b * s.tq * s.heads * s.d;
    const DeviceScratch<float> in(n), upstream(m), result(n);
    cast<BF16, float>(stream, qkv, in, n);
    cast<BF16, float>(stream, dout, upstream, m);
    attention_backward<float>(stream, in, stats, upstream, result, s);
    return cast<float, BF16>(stream, result, dqkv, n);
  }
  const DeviceScratch<float> mean(s.b * s.heads * s.tq);
  if (fits<13>(z, 2 * kRows))
    by_tokens<13>(s.t, [&](auto tiles) {
      constexpr int kTiles = decltype(tiles)::count;
      launch(attention_tensor_queries_kernel<kTiles>,
             rows_of_blocks(pieces(s.t, kRows), static_cast<unsigned>(s.b * s.heads)), kThreads,
             z.bytes(2 * kRows + 2 * 16 * kTiles), stream, qkv, stats, dout, dqkv, static_cast<float*>(mean), z);
    });
  else
    streamed_queries(stream, qkv, stats, dout, dqkv, mean, z);
  keys_of_all_queries(stream, qkv, stats, dout, mean, dqkv, z);
}

}  // namespace taut::TAUT_GPU
