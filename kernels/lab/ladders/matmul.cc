// The CPU's ladder of the matrix product: out (m, n) = a (m, k) b (k, n). Data: in a, b; size m, n, k.
#include "kernels/matmul.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

void by_elements(Stream, const LadderData& d) {
  const int64_t m = d.size[0], n = d.size[1], k = d.size[2];
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < k; ++p) sum = fma(d.in[0][i * k + p], d.in[1][p * n + j], sum);
      d.out[i * n + j] = sum;
    }
}

void by_rows(Stream, const LadderData& d) {
  const int64_t m = d.size[0], n = d.size[1], k = d.size[2];
  for (int64_t i = 0; i < m; ++i) {
    float* const to = d.out + i * n;
    for (int64_t j = 0; j < n; ++j) to[j] = 0;
    for (int64_t p = 0; p < k; ++p) {
      const float factor = d.in[0][i * k + p];
      const float* const b = d.in[1] + p * n;
      for (int64_t j = 0; j < n; ++j) to[j] = fma(factor, b[j], to[j]);
    }
  }
}

// Tiles of kRows x kCols of c in registers; what does not fill a tile goes element by element.
void by_tiles(Stream, const LadderData& d) {
  constexpr int kRows = 4, kCols = 32;
  const int64_t m = d.size[0], n = d.size[1], k = d.size[2];
  const auto element = [&](int64_t i, int64_t j) {
    float sum = 0;
    for (int64_t p = 0; p < k; ++p) sum = fma(d.in[0][i * k + p], d.in[1][p * n + j], sum);
    d.out[i * n + j] = sum;
  };
  for (int64_t j0 = 0; j0 < n; j0 += kCols)
    for (int64_t i0 = 0; i0 < m; i0 += kRows) {
      if (i0 + kRows > m || j0 + kCols > n) {
        for (int64_t i = i0; i < m && i < i0 + kRows; ++i)
          for (int64_t j = j0; j < n && j < j0 + kCols; ++j) element(i, j);
        continue;
      }
      float sum[kRows][kCols] = {};
      for (int64_t p = 0; p < k; ++p) {
        const float* const b = d.in[1] + p * n + j0;
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const float factor = d.in[0][(i0 + r) * k + p];
#pragma GCC ivdep
          for (int c = 0; c < kCols; ++c) sum[r][c] = fma(factor, b[c], sum[r][c]);
        }
      }
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kCols; ++c) d.out[(i0 + r) * n + j0 + c] = sum[r][c];
    }
}

void production(Stream stream, const LadderData& d) {
  matmul<float>(stream, d.in[0], d.in[1], nullptr, nullptr, d.out, nullptr, taut::lab::matmul_shape(d),
                Epilogue::kNone);
}

constexpr taut::lab::Rung kRungs[] = {
    {"an element at a time: b is walked down its columns, a line of the cache for every number",
     taut::lab::LadderCount::kTime, false, by_elements},
    {"a row of a times rows of b: everything is walked along lines, the compiler makes vectors of it",
     taut::lab::LadderCount::kTime, false, by_rows},
    {"4 x 32 elements stay in registers: a number of b is read once for four rows", taut::lab::LadderCount::kTime,
     false, by_tiles},
    {"operands packed into panels that fit the caches, a tile as large as the registers, all threads",
     taut::lab::LadderCount::kTime, true, production},
};

}  // namespace

void matmul_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_CPU
