// Attention of bf16 on tensor cores for any number of tokens: keys and values stream through shared memory in tiles,
// two of them at a time so that one is copied while the other is used. The softmax is the online one (Milakov and
// Gimelshein, 2018; Dao et al., 2022, algorithm 1): a row's maximum so far rescales its sums so far. Tiles come in
// order, and a row has one warp: deterministic. Backward recomputes scores from m and z. dQ goes over the keys twice,
// first for D = sum_j P_ij dP_ij, then for dS = P (dP - D): the difference is taken before it is rounded. dK and dV:
// 64 keys a block, all queries stream past.
#include "kernels/attention_tensor.cuh"

namespace taut::TAUT_GPU {
namespace {

using namespace attention;

// Rows of a tile by the columns of accumulators a warp holds, 64 or 128: what shared memory has room for.
template <int kWidth>
constexpr int kTileRows = kWidth == 64 ? 64 : 32;

// Two operands whose rows stream past in tiles: K and V, or q and dout. The tiles of an even and an odd number have a
// place each.
template <int kWidth>
struct TilePairs {
  static constexpr int kTile = kTileRows<kWidth>;
  const BF16 *a_rows, *b_rows;     // in memory
  int64_t a_distance, b_distance;  // from row to row
  int64_t end;                     // number of rows
  BF16* place;                     // 4 kTile rows of shared memory

  __device__ int64_t tiles() const { return (end + kTile - 1) / kTile; }
  __device__ BF16* a(const Sizes& z, int64_t tile) const {
    return place + static_cast<int>(tile % 2) * 2 * kTile * z.line;
  }
  __device__ BF16* b(const Sizes& z, int64_t tile) const { return a(z, tile) + kTile * z.line; }
  // Begins to copy a tile. One that is not there is an empty group of copies, so that their count stays right.
  __device__ void begin(const Sizes& z, int64_t tile) const {
    if (tile < tiles()) {
      begin_rows(z, a_rows, a_distance, tile * kTile, end, kTile, a(z, tile));
      begin_rows(z, b_rows, b_distance, tile * kTile, end, kTile, b(z, tile));
    }
    commit_copies();
  }
  // Begins the next tile and waits for this one and all that was begun before it.
  __device__ void wait(const Sizes& z, int64_t tile) const {
    begin(z, tile + 1);
    wait_for_copies<1>();
    __syncthreads();
  }
};

// o (16 rows of the warp, all columns) += p (16 x the tile's keys) times the tile's rows.
template <int kWidth>
__device__ __forceinline__ void multiply_tile(const Sizes& z, const float (&p)[kTileRows<kWidth> / 8][4],
                                              const BF16* rows, float (&o)[kWidth / kColumns][kColumns / 8][4]) {
#pragma unroll
  for (int j = 0; j < kTileRows<kWidth> / 16; ++j) {
    uint32_t a[4];
    pack_a(p[2 * j], p[2 * j + 1], a);
#pragma unroll
    for (int n = 0; n < kWidth / 16; ++n) {
      if (16 * n >= z.width) continue;
      uint32_t b[4];
      fragment_b_transposed(rows + 16 * j * z.line + 16 * n, z.line, b);
      float(&to)[kColumns / 8][4] = o[n / (kColumns / 16)];
      mma_pair(to[2 * n % (kColumns / 8)], to[2 * n % (kColumns / 8) + 1], a, b);
    }
  }
}

template <int kWidth>
__device__ void write_all(const Sizes& z, const float (&o)[kWidth / kColumns][kColumns / 8][4], float factor_g,
                          float factor_8, BF16* stage, BF16* to, int64_t distance, int64_t first, int64_t end) {
#pragma unroll
  for (int part = 0; part < kWidth / kColumns; ++part)
    if (part * kColumns < z.width)
      write_rows(z, o[part], factor_g, factor_8, stage, z.line, to, distance, first, end, part * kColumns);
}

// ---- forward --------------------------------------------------------------------------------------------------------

template <int kWidth>
__global__ void __launch_bounds__(kThreads, 3)  // for four blocks a processor ptxas would spill
    attention_streamed_forward_kernel(const BF16* qkv, BF16* out, float* stats, Sizes z) {
  constexpr int kTile = kTileRows<kWidth>;
  Shared shared;
  BF16* const q = shared.take<BF16>(kRows * z.line);
  const unsigned across = pieces(z.s.tq, kRows);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kRows;
  const int64_t width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  const TilePairs<kWidth> keys{
      head + width, head + 2 * width, z.step(), z.step(), z.s.t, shared.take<BF16>(4 * kTile * z.line)};
  begin_rows(z, head, z.step(), first, z.s.tq, kRows, q);
  keys.begin(z, 0);
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, group = lane() / 4, t = lane() % 4;
  float o[kWidth / kColumns][kColumns / 8][4] = {};
  float m[2] = {-__builtin_inff(), -__builtin_inff()}, sum[2] = {};
  for (int64_t tile = 0; tile < keys.tiles(); ++tile) {
    keys.wait(z, tile);
    float p[kTile / 8][4] = {};
    multiply_all<kTile / 16>(q + mine * z.line, keys.a(z, tile), z, p);
    float again[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = m[half];
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& s = p[n][2 * half + e];
          s = tile * kTile + 8 * n + 2 * t + e < z.s.t ? s * z.scale : -__builtin_inff();
          most = max(most, s);
        }
      most = row_max_of_four(most);
      // Of a row that had nothing but -inf so far every term is 0, and its sum, if it stays so, gives 0 / 0.
      const float from = most == -__builtin_inff() ? 0 : most;
      again[half] = exp(m[half] - from);
      m[half] = most;
      float part = 0;
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& s = p[n][2 * half + e];
          s = exp(s - from);
          part = part + s;
        }
      sum[half] = fma(sum[half], again[half], part);
    }
#pragma unroll
    for (auto& part : o)
#pragma unroll
      for (float(&d)[4] : part)
#pragma unroll
        for (int e = 0; e < 4; ++e) d[e] = d[e] * again[e / 2];
    multiply_tile<kWidth>(z, p, keys.b(z, tile), o);
    __syncthreads();
  }
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    factor[half] = 1.0f / row_sum_of_four(sum[half]);
    const int64_t i = first + mine + group + 8 * half;
    if (stats == nullptr || t != 0 || i >= z.s.tq) continue;
    stats[2 * (at * z.s.tq + i)] = m[half];
    stats[2 * (at * z.s.tq + i) + 1] = factor[half];
  }
  write_all<kWidth>(z, o, factor[0], factor[1], q + mine * z.line, out + z.out(at), width, first + mine, z.s.tq);
}

// ---- backward -------------------------------------------------------------------------------------------------------

// dQ, and mean (b, heads, tq) = D for the kernel of keys. Queries from tq on get zeros.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    attention_streamed_queries_kernel(const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv, float* mean,
                                      Sizes z) {
  constexpr int kTile = kTileRows<kWidth>;
  Shared shared;
  BF16* const q = shared.take<BF16>(kRows * z.line);
  BF16* const upstream = shared.take<BF16>(kRows * z.line);
  const unsigned across = pieces(z.s.t, kRows);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kRows;
  const int64_t width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  const TilePairs<kWidth> keys{
      head + width, head + 2 * width, z.step(), z.step(), z.s.t, shared.take<BF16>(4 * kTile * z.line)};
  begin_rows(z, head, z.step(), first, z.s.tq, kRows, q);
  begin_rows(z, dout + z.out(at), width, first, z.s.tq, kRows, upstream);
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, group = lane() / 4, t = lane() % 4;
  float m[2], inverse[2], d[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t i = first + mine + group + 8 * half;
    m[half] = i < z.s.tq ? stats[2 * (at * z.s.tq + i)] : 0;
    inverse[half] = i < z.s.tq ? stats[2 * (at * z.s.tq + i) + 1] : 0;  // P = 0 where there is no query
  }
  float dq[kWidth / kColumns][kColumns / 8][4] = {};
  for (int pass = 0; pass < 2; ++pass) {
    keys.begin(z, 0);
    for (int64_t tile = 0; tile < keys.tiles(); ++tile) {
      keys.wait(z, tile);
      float p[kTile / 8][4] = {}, dp[kTile / 8][4] = {};
      multiply_all<kTile / 16>(q + mine * z.line, keys.a(z, tile), z, p);
      multiply_all<kTile / 16>(upstream + mine * z.line, keys.b(z, tile), z, dp);
#pragma unroll
      for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const bool exists = tile * kTile + 8 * n + 2 * t + e % 2 < z.s.t;
          p[n][e] = exists && inverse[e / 2] != 0 ? exp(p[n][e] * z.scale - m[e / 2]) * inverse[e / 2] : 0;
        }
      if (pass == 0) {
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) d[e / 2] = fma(p[n][e], dp[n][e], d[e / 2]);
      } else {
#pragma unroll
        for (int n = 0; n < kTile / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) p[n][e] = p[n][e] * (dp[n][e] - d[e / 2]);
        multiply_tile<kWidth>(z, p, keys.a(z, tile), dq);
      }
      __syncthreads();
    }
    if (pass != 0) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t i = first + mine + group + 8 * half;
      d[half] = row_sum_of_four(d[half]);
      if (t == 0 && i < z.s.tq) mean[at * z.s.tq + i] = d[half];
    }
  }
  write_all<kWidth>(z, dq, z.scale, z.scale, q + mine * z.line, dqkv + z.q(at), z.step(), first + mine, z.s.t);
}

// dK and dV. Heads wider than kColumns take a pass for each kColumns of them.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    attention_tensor_keys_kernel(const BF16* qkv, const float* stats, const BF16* dout, const float* mean, BF16* dqkv,
                                 Sizes z) {
  constexpr int kTile = kTileRows<kWidth>;
  Shared shared;
  BF16* const keys = shared.take<BF16>(kRows * z.line);
  BF16* const values = shared.take<BF16>(kRows * z.line);
  float* const of_queries = shared.take<float>(3 * kTile);  // m, z and D of each of the tile
  const unsigned across = pieces(z.s.t, kRows);
  const int64_t at = blockIdx.x / across, first = static_cast<int64_t>(blockIdx.x % across) * kRows;
  const int64_t width = z.s.heads * z.s.d;
  const BF16* const head = qkv + z.q(at);
  const TilePairs<kWidth> queries{head,  dout + z.out(at), z.step(),
                                  width, z.s.tq,           shared.take<BF16>(4 * kTile * z.line)};
  BF16* const stage = shared.take<BF16>(kRows * (kColumns + 8));
  begin_rows(z, head + width, z.step(), first, z.s.t, kRows, keys);
  begin_rows(z, head + 2 * width, z.step(), first, z.s.t, kRows, values);
  const int mine = static_cast<int>(threadIdx.x) / kWarpSize * 16, t = lane() % 4;
  const BF16 *const my_keys = keys + mine * z.line, *const my_values = values + mine * z.line;
  for (int column = 0; column < z.width; column += kColumns) {
    float dk[kColumns / 8][4] = {}, dv[kColumns / 8][4] = {};
    queries.begin(z, 0);
    for (int64_t tile = 0; tile < queries.tiles(); ++tile) {
      for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kThreads) {
        const int64_t query = tile * kTile + i;
        const bool exists = query < z.s.tq;
        of_queries[3 * i] = exists ? stats[2 * (at * z.s.tq + query)] : 0;
        of_queries[3 * i + 1] = exists ? stats[2 * (at * z.s.tq + query) + 1] : 0;
        of_queries[3 * i + 2] = exists ? mean[at * z.s.tq + query] : 0;
      }
      queries.wait(z, tile);
#pragma unroll
      for (int j = 0; j < kTile / 16; ++j) {
        if (tile * kTile + 16 * j >= z.s.tq) continue;
        const BF16 *const q = queries.a(z, tile) + 16 * j * z.line, *const upstream =
                                                                        queries.b(z, tile) + 16 * j * z.line;
        float s[2][4] = {}, dp[2][4] = {};
        for (int e = 0; e < z.width; e += 16) {
          uint32_t a[4], b[4];
          fragment_a(my_keys + e, z.line, a);
          fragment_b(q + e, z.line, b);
          mma_pair(s[0], s[1], a, b);
          fragment_a(my_values + e, z.line, a);
          fragment_b(upstream + e, z.line, b);
          mma_pair(dp[0], dp[1], a, b);
        }
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int i = 16 * j + 8 * n + 2 * t + e % 2;
            const float* const query = of_queries + 3 * i;
            const bool exists = tile * kTile + i < z.s.tq;
            s[n][e] = exists ? exp(s[n][e] * z.scale - query[0]) * query[1] : 0;
            dp[n][e] = exists ? s[n][e] * (dp[n][e] - query[2]) : 0;
          }
        uint32_t p[4], ds[4];
        pack_a(s[0], s[1], p);
        pack_a(dp[0], dp[1], ds);
#pragma unroll
        for (int n = 0; n < kColumns / 16; ++n) {
          if (column + 16 * n >= z.width) continue;
          uint32_t b[4];
          fragment_b_transposed(upstream + column + 16 * n, z.line, b);
          mma_pair(dv[2 * n], dv[2 * n + 1], p, b);
          fragment_b_transposed(q + column + 16 * n, z.line, b);
          mma_pair(dk[2 * n], dk[2 * n + 1], ds, b);
        }
      }
      __syncthreads();
    }
    BF16* const my_stage = stage + mine * (kColumns + 8);
    BF16* const to = dqkv + z.q(at);
    write_rows(z, dk, z.scale, z.scale, my_stage, kColumns + 8, to + width, z.step(), first + mine, z.s.t, column);
    write_rows(z, dv, 1, 1, my_stage, kColumns + 8, to + 2 * width, z.step(), first + mine, z.s.t, column);
  }
}

template <int kWidth>
struct Width {
  static constexpr int columns = kWidth;
};
template <class F>
void by_width(const Sizes& z, F&& f) {
  if (z.width <= 64) return f(Width<64>{});
  f(Width<kMostWidth>{});
}

}  // namespace

namespace attention {

void streamed_forward(Stream stream, const BF16* qkv, BF16* out, float* stats, const Sizes& z) {
  by_width(z, [&](auto width) {
    constexpr int kWidth = decltype(width)::columns;
    launch(attention_streamed_forward_kernel<kWidth>,
           rows_of_blocks(pieces(z.s.tq, kRows), static_cast<unsigned>(z.s.b * z.s.heads)), kThreads,
           z.bytes(kRows + 4 * kTileRows<kWidth>), stream, qkv, out, stats, z);
  });
}

void streamed_queries(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, BF16* dqkv, float* mean,
                      const Sizes& z) {
  by_width(z, [&](auto width) {
    constexpr int kWidth = decltype(width)::columns;
    launch(attention_streamed_queries_kernel<kWidth>,
           rows_of_blocks(pieces(z.s.t, kRows), static_cast<unsigned>(z.s.b * z.s.heads)), kThreads,
           z.bytes(2 * kRows + 4 * kTileRows<kWidth>), stream, qkv, stats, dout, dqkv, mean, z);
  });
}

void keys_of_all_queries(Stream stream, const BF16* qkv, const float* stats, const BF16* dout, const float* mean,
                         BF16* dqkv, const Sizes& z) {
  by_width(z, [&](auto width) {
    constexpr int kWidth = decltype(width)::columns;
    launch(attention_tensor_keys_kernel<kWidth>,
           rows_of_blocks(pieces(z.s.t, kRows), static_cast<unsigned>(z.s.b * z.s.heads)), kThreads,
           z.bytes(2 * kRows + 4 * kTileRows<kWidth>) + 3 * kTileRows<kWidth> * sizeof(float) +
               kRows * (kColumns + 8) * sizeof(BF16),
           stream, qkv, stats, dout, mean, dqkv, z);
  });
}

}  // namespace attention
}  // namespace taut::TAUT_GPU
