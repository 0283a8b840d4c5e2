// Attention of bf16 on tensor cores, where the keys and values of a head fit into shared memory (256 tokens of width
// 64; kernels/attention.h has the formulas): scores in f32, P and dS rounded to bf16 where they enter a product.
// Outside the numeric contract, and deterministic: every element has one warp that adds it up. What does not fit goes
// through floats and the general kernels.
//
// A block of four warps has 64 queries of one head, a warp 16 of them: whole rows of scores stay in registers, so the
// softmax needs no second pass and no rescaling; K and V of the head lie whole in shared memory. Backward: the same for
// dQ, which also gives D; then 64 keys a block, against all queries, for dK and dV. Registers (ptxas, sm_90): dQ has
// 248 for 208 tokens, and of 256 tokens spills 12 bytes: P, dP and dQ of 16 queries are 224 numbers a thread.
#include "kernels/attention.h"
#include "kernels/pointwise.h"
#include "kernels/sums.cuh"
#include "kernels/tensor_core.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize, kRows = 16 * kWarps;
constexpr int kColumns = 64;  // of a head that are accumulated at a time
constexpr int64_t kMostTokens = 256, kMostWidth = 128;
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
  __device__ int64_t step() const { return 3 * s.heads * s.d; }
  __device__ int64_t q(int64_t at) const { return at / s.heads * s.t * 3 * s.heads * s.d + at % s.heads * s.d; }
  __device__ int64_t out(int64_t at) const { return at / s.heads * s.tq * s.heads * s.d + at % s.heads * s.d; }
};

// Begins to copy rows first, first + 1, ... (`distance` apart) to shared memory; zeros from row `end` and column d on.
__device__ void begin_rows(const Sizes& z, const BF16* from, int64_t distance, int64_t first, int64_t end, int rows,
                           BF16* to) {
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
__device__ __forceinline__ float low_of(uint32_t pair) { return as_real(static_cast<int32_t>(pair << 16)); }
__device__ __forceinline__ float high_of(uint32_t pair) { return as_real(static_cast<int32_t>(pair & 0xffff0000u)); }

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
__device__ void write_rows(const Sizes& z, const float (&o)[kColumns / 8][4], float factor_g, float factor_8,
                           BF16* stage, int line, BF16* to, int64_t distance, int64_t first, int64_t end, int column) {
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

// ---- forward --------------------------------------------------------------------------------------------------------

template <int kTiles>
__global__ void __launch_bounds__(kThreads)
    attention_tensor_forward_kernel(const BF16* qkv, BF16* out, float* stats, Sizes z) {
  Shared shared;
  BF16* const q = shared.take<BF16>(kRows * z.line);
  BF16* const keys = shared.take<BF16>(16 * kTiles * z.line);
  BF16* const values = shared.take<BF16>(16 * kTiles * z.line);
  const int64_t at = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  begin_rows(z, head, z.step(), first, z.s.tq, kRows, q);
  begin_rows(z, head + width, z.step(), 0, z.s.t, 16 * kTiles, keys);
  commit_copies();
  begin_rows(z, head + 2 * width, z.step(), 0, z.s.t, 16 * kTiles, values);
  commit_copies();
  wait_for_copies<1>();
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, group = lane() / 4, t = lane() % 4;
  float p[2 * kTiles][4] = {};
  multiply_all<kTiles>(q + mine * z.line, keys, z, p);
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
    const int64_t i = first + mine + group + 8 * half;
    if (stats == nullptr || t != 0 || i >= z.s.tq) continue;
    stats[2 * (at * z.s.tq + i)] = m;
    stats[2 * (at * z.s.tq + i) + 1] = factor[half];
  }
  uint32_t a[kTiles][4];
#pragma unroll
  for (int j = 0; j < kTiles; ++j) pack_a(p[2 * j], p[2 * j + 1], a[j]);
  wait_for_copies<0>();
  __syncthreads();
  multiply_and_write<kTiles>(z, a, values, factor[0], factor[1], q + mine * z.line, out + z.out(at), width,
                             first + mine, z.s.tq);
}

// ---- backward -------------------------------------------------------------------------------------------------------

// dQ, and mean (b, heads, tq) = D for the kernel of keys. Queries from tq on get zeros.
template <int kTiles>
__global__ void __launch_bounds__(kThreads)
    attention_tensor_queries_kernel(const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv, float* mean,
                                    Sizes z) {
  Shared shared;
  BF16* const q = shared.take<BF16>(kRows * z.line);
  BF16* const upstream = shared.take<BF16>(kRows * z.line);
  BF16* const keys = shared.take<BF16>(16 * kTiles * z.line);
  BF16* const values = shared.take<BF16>(16 * kTiles * z.line);
  const int64_t at = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  begin_rows(z, head, z.step(), first, z.s.tq, kRows, q);
  begin_rows(z, head + width, z.step(), 0, z.s.t, 16 * kTiles, keys);
  commit_copies();
  begin_rows(z, dout + z.out(at), width, first, z.s.tq, kRows, upstream);
  begin_rows(z, head + 2 * width, z.step(), 0, z.s.t, 16 * kTiles, values);
  commit_copies();
  wait_for_copies<1>();
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, group = lane() / 4, t = lane() % 4;
  uint32_t p[kTiles][4];  // P, then dS
  {
    float s[2 * kTiles][4] = {};
    multiply_all<kTiles>(q + mine * z.line, keys, z, s);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first + mine + group + 8 * half;
      const bool exists = i < z.s.tq;
      const float m = exists ? stats[2 * (at * z.s.tq + i)] : 0,
                  inverse = exists ? stats[2 * (at * z.s.tq + i) + 1] : 0;
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
  multiply_all<kTiles>(upstream + mine * z.line, values, z, dp);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t i = first + mine + group + 8 * half;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      const uint32_t pair = p[n / 2][n % 2 * 2 + half];
      sum = fma(low_of(pair), dp[n][2 * half], sum);
      sum = fma(high_of(pair), dp[n][2 * half + 1], sum);
    }
    const float d = row_sum_of_four(sum);
    if (t == 0 && i < z.s.tq) mean[at * z.s.tq + i] = d;
#pragma unroll
    for (int n = 0; n < 2 * kTiles; ++n) {
      uint32_t& pair = p[n / 2][n % 2 * 2 + half];
      pair =
          i < z.s.tq ? pack_bf16(low_of(pair) * (dp[n][2 * half] - d), high_of(pair) * (dp[n][2 * half + 1] - d)) : 0;
    }
  }
  multiply_and_write<kTiles>(z, p, keys, z.scale, z.scale, q + mine * z.line, dqkv + z.q(at), z.step(), first + mine,
                             z.s.t);
}

// dK and dV. `tiles` times 16 queries.
__global__ void __launch_bounds__(kThreads)
    attention_tensor_keys_kernel(const BF16* qkv, const float* stats, const BF16* dout, const float* mean, BF16* dqkv,
                                 Sizes z, int tiles) {
  Shared shared;
  BF16* const keys = shared.take<BF16>(kRows * z.line);
  BF16* const values = shared.take<BF16>(kRows * z.line);
  BF16* const q = shared.take<BF16>(16 * tiles * z.line);
  BF16* const upstream = shared.take<BF16>(16 * tiles * z.line);
  float* const of_queries = shared.take<float>(3 * 16 * tiles);  // m, z and D of each
  // Where the head is wider than one pass, K and V are read again after the first results.
  BF16* const spare = z.width > kColumns ? shared.take<BF16>(kRows * z.line) : nullptr;
  const int64_t at = blockIdx.y, first = static_cast<int64_t>(blockIdx.x) * kRows, width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  begin_rows(z, head + width, z.step(), first, z.s.t, kRows, keys);
  begin_rows(z, head + 2 * width, z.step(), first, z.s.t, kRows, values);
  begin_rows(z, head, z.step(), 0, z.s.tq, 16 * tiles, q);
  begin_rows(z, dout + z.out(at), width, 0, z.s.tq, 16 * tiles, upstream);
  commit_copies();
  for (int i = static_cast<int>(threadIdx.x); i < 16 * tiles; i += kThreads) {
    const bool exists = i < z.s.tq;
    of_queries[3 * i] = exists ? stats[2 * (at * z.s.tq + i)] : 0;
    of_queries[3 * i + 1] = exists ? stats[2 * (at * z.s.tq + i) + 1] : 0;
    of_queries[3 * i + 2] = exists ? mean[at * z.s.tq + i] : 0;
  }
  wait_for_copies<0>();
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, t = lane() % 4;
  const BF16 *const my_keys = keys + mine * z.line, *const my_values = values + mine * z.line;
  for (int column = 0; column < z.width; column += kColumns) {
    float dk[kColumns / 8][4] = {}, dv[kColumns / 8][4] = {};
    for (int j = 0; j < tiles; ++j) {
      const BF16 *const their_q = q + 16 * j * z.line, *const their_upstream = upstream + 16 * j * z.line;
      float s[2][4] = {}, dp[2][4] = {};
      for (int e = 0; e < z.width; e += 16) {
        uint32_t a[4], b[4];
        fragment_a(my_keys + e, z.line, a);
        fragment_b(their_q + e, z.line, b);
        mma_pair(s[0], s[1], a, b);
        fragment_a(my_values + e, z.line, a);
        fragment_b(their_upstream + e, z.line, b);
        mma_pair(dp[0], dp[1], a, b);
      }
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int i = 16 * j + 8 * n + 2 * t + e % 2;
          const float* const query = of_queries + 3 * i;
          s[n][e] = i < z.s.tq ? exp(s[n][e] * z.scale - query[0]) * query[1] : 0;
          dp[n][e] = i < z.s.tq ? s[n][e] * (dp[n][e] - query[2]) : 0;
        }
      uint32_t p[4], ds[4];
      pack_a(s[0], s[1], p);
      pack_a(dp[0], dp[1], ds);
#pragma unroll
      for (int n = 0; n < kColumns / 16; ++n) {
        if (column + 16 * n >= z.width) continue;
        uint32_t b[4];
        fragment_b_transposed(their_upstream + column + 16 * n, z.line, b);
        mma_pair(dv[2 * n], dv[2 * n + 1], p, b);
        fragment_b_transposed(their_q + column + 16 * n, z.line, b);
        mma_pair(dk[2 * n], dk[2 * n + 1], ds, b);
      }
    }
    BF16* const stage = (spare != nullptr ? spare : keys) + mine * z.line;
    BF16* const to = dqkv + z.q(at);
    write_rows(z, dk, z.scale, z.scale, stage, z.line, to + width, z.step(), first + mine, z.s.t, column);
    write_rows(z, dv, 1, 1, stage, z.line, to + 2 * width, z.step(), first + mine, z.s.t, column);
  }
}

unsigned blocks(int64_t n, int64_t of) { return static_cast<unsigned>((n + of - 1) / of); }
size_t rows_bytes(const Sizes& z, int64_t rows) { return static_cast<size_t>(rows * z.line) * sizeof(BF16); }

template <int kTiles>
struct Tiles {
  static constexpr int count = kTiles;
};
// f(how many times 16 tokens): ViT's 197 tokens are 13.
template <class F>
void by_tokens(int64_t t, F&& f) {
  if (t <= 64) return f(Tiles<4>{});
  if (t <= 208) return f(Tiles<13>{});
  f(Tiles<16>{});
}

size_t keys_bytes(const Sizes& z) {
  const int64_t queries = (z.s.tq + 15) / 16 * 16;
  return rows_bytes(z, 2 * kRows + 2 * queries + (z.width > kColumns ? kRows : 0)) +
         static_cast<size_t>(3 * queries) * sizeof(float);
}
bool fits(const Sizes& z, bool backward) {
  if (z.s.t > kMostTokens || z.s.d > kMostWidth) return false;
  const int64_t tokens = (z.s.t <= 64 ? 64 : z.s.t <= 208 ? 208 : 256);
  const size_t most = rows_bytes(z, (backward ? 2 : 1) * kRows + 2 * tokens);
  return most <= kMostShared && (!backward || keys_bytes(z) <= kMostShared);
}

}  // namespace

template <>
void attention_forward<BF16>(Stream stream, const BF16* qkv, BF16* out, float* stats, const AttentionShape& s) {
  if (s.b * s.heads * s.tq * s.d == 0) return;
  const Sizes z(s, aligned16(qkv) && aligned16(out));
  if (!fits(z, false)) {
    const int64_t n = s.b * s.t * 3 * s.heads * s.d, m = s.b * s.tq * s.heads * s.d;
    const DeviceScratch<float> in(n), result(m);
    cast<BF16, float>(stream, qkv, in, n);
    attention_forward<float>(stream, in, result, stats, s);
    return cast<float, BF16>(stream, result, out, m);
  }
  by_tokens(s.t, [&](auto tiles) {
    constexpr int kTiles = decltype(tiles)::count;
    launch(attention_tensor_forward_kernel<kTiles>, dim3(blocks(s.tq, kRows), static_cast<unsigned>(s.b * s.heads)),
           kThreads, rows_bytes(z, kRows + 2 * 16 * kTiles), stream, qkv, out, stats, z);
  });
}

template <>
void attention_backward<BF16>(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv,
                              const AttentionShape& s) {
  if (s.b * s.heads * s.t * s.d == 0) return;
  const Sizes z(s, aligned16(qkv) && aligned16(dout) && aligned16(dqkv));
  if (!fits(z, true)) {
    const int64_t n = s.b * s.t * 3 * s.heads * s.d, m = s.b * s.tq * s.heads * s.d;
    const DeviceScratch<float> in(n), upstream(m), result(n);
    cast<BF16, float>(stream, qkv, in, n);
    cast<BF16, float>(stream, dout, upstream, m);
    attention_backward<float>(stream, in, stats, upstream, result, s);
    return cast<float, BF16>(stream, result, dqkv, n);
  }
  const DeviceScratch<float> mean(s.b * s.heads * s.tq);
  const auto heads = static_cast<unsigned>(s.b * s.heads);
  by_tokens(s.t, [&](auto tiles) {
    constexpr int kTiles = decltype(tiles)::count;
    launch(attention_tensor_queries_kernel<kTiles>, dim3(blocks(s.t, kRows), heads), kThreads,
           rows_bytes(z, 2 * kRows + 2 * 16 * kTiles), stream, qkv, stats, dout, dqkv, static_cast<float*>(mean), z);
  });
  launch(attention_tensor_keys_kernel, dim3(blocks(s.t, kRows), heads), kThreads, keys_bytes(z), stream, qkv, stats,
         dout, static_cast<const float*>(mean), dqkv, z, static_cast<int>((s.tq + 15) / 16));
}

}  // namespace taut::TAUT_GPU
