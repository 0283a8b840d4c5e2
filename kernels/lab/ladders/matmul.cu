// The ladder of the matrix product: out (m, n) = a (m, k) b (k, n). Data: in a, b; size m, n, k.
#include "kernels/matmul.h"

#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kTile = 32;

__global__ void rows_by_lane(taut::lab::LadderData d) {
  const int64_t n = d.size[1], k = d.size[2], i = blockIdx.x * kTile + threadIdx.x, j = blockIdx.y * 8 + threadIdx.y;
  if (i >= d.size[0] || j >= n) return;
  float sum = 0;
  for (int64_t p = 0; p < k; ++p) sum = fma(d.in[0][i * k + p], d.in[1][p * n + j], sum);
  d.out[i * n + j] = sum;
}

__global__ void columns_by_lane(taut::lab::LadderData d) {
  const int64_t n = d.size[1], k = d.size[2], j = blockIdx.x * kTile + threadIdx.x, i = blockIdx.y * 8 + threadIdx.y;
  if (i >= d.size[0] || j >= n) return;
  float sum = 0;
  for (int64_t p = 0; p < k; ++p) sum = fma(d.in[0][i * k + p], d.in[1][p * n + j], sum);
  d.out[i * n + j] = sum;
}

// A block brings 32 x 32 of both operands into shared memory, zeros beyond their ends; a thread has four elements of
// one column.
__global__ void tiles(taut::lab::LadderData d) {
  const int64_t m = d.size[0], n = d.size[1], k = d.size[2];
  const int64_t j = blockIdx.x * kTile + threadIdx.x, i0 = blockIdx.y * kTile;
  Shared shared;
  float* a = shared.take<float>(kTile * kTile);
  float* b = shared.take<float>(kTile * kTile);
  float sum[4] = {};
  for (int64_t p0 = 0; p0 < k; p0 += kTile) {
    for (int r = static_cast<int>(threadIdx.y); r < kTile; r += 8) {
      const int64_t p = p0 + threadIdx.x;
      a[r * kTile + threadIdx.x] = i0 + r < m && p < k ? d.in[0][(i0 + r) * k + p] : 0.0f;
      b[r * kTile + threadIdx.x] = p0 + r < k && j < n ? d.in[1][(p0 + r) * n + j] : 0.0f;
    }
    __syncthreads();
    for (int p = 0; p < kTile; ++p)
      for (int e = 0; e < 4; ++e)
        sum[e] = fma(a[(threadIdx.y + 8 * e) * kTile + p], b[p * kTile + threadIdx.x], sum[e]);
    __syncthreads();
  }
  for (int e = 0; e < 4; ++e)
    if (const int64_t i = i0 + threadIdx.y + 8 * e; i < m && j < n) d.out[i * n + j] = sum[e];
}

unsigned blocks(int64_t n, int of) { return static_cast<unsigned>((n + of - 1) / of); }

void rung_1(Stream stream, const taut::lab::LadderData& d) {
  launch(rows_by_lane, dim3(blocks(d.size[0], kTile), blocks(d.size[1], 8)), dim3(kTile, 8), 0, stream, d);
}
void rung_2(Stream stream, const taut::lab::LadderData& d) {
  launch(columns_by_lane, dim3(blocks(d.size[1], kTile), blocks(d.size[0], 8)), dim3(kTile, 8), 0, stream, d);
}
void rung_3(Stream stream, const taut::lab::LadderData& d) {
  launch(tiles, dim3(blocks(d.size[1], kTile), blocks(d.size[0], kTile)), dim3(kTile, 8),
         2 * kTile * kTile * sizeof(float), stream, d);
}
void production(Stream stream, const taut::lab::LadderData& d) {
  matmul<float>(stream, d.in[0], d.in[1], nullptr, nullptr, d.out, nullptr, taut::lab::matmul_shape(d),
                Epilogue::kNone);
}

constexpr taut::lab::Rung kRungs[] = {
    {"a thread an element, lanes down a column: each reads a row of a of its own", taut::lab::LadderCount::kSectors,
     false, rung_1},
    {"lanes along a row: they share a row of a and read neighbours of b", taut::lab::LadderCount::kSectors, false,
     rung_2},
    {"tiles of 32 x 32 in shared memory: an element is read once a tile instead of once a thread",
     taut::lab::LadderCount::kSectors, false, rung_3},
    {"8 x 8 elements a thread in registers: 16 reads of shared memory feed 64 multiply-adds",
     taut::lab::LadderCount::kWavefronts, true, production},
};

}  // namespace

void matmul_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_GPU
