// The ladder of a PHM layer (Compacter): out (rows, out) = x H, H = sum_i kron(A_i, s_i t_i). Data: in x (rows, in),
// rule (n, n, n), left (n, in/n, 1), right (n, 1, out/n); scratch (in, out); size rows, in, out, n.
#include "kernels/phm.h"

#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"
#include "kernels/matmul.h"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

__global__ void build_h(taut::lab::LadderData d) {
  const int64_t in = d.size[1], out = d.size[2], n = d.size[3], width_in = in / n, width_out = out / n;
  const int64_t at = thread_in_grid(), row = at / out, column = at % out;
  if (row >= in) return;
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float weight = d.in[1][(i * n + row / width_in) * n + column / width_out];
    sum = fma(weight, d.in[2][i * width_in + row % width_in] * d.in[3][i * width_out + column % width_out], sum);
  }
  d.scratch[at] = sum;
}

__global__ void plain_product(taut::lab::LadderData d) {
  const int64_t in = d.size[1], out = d.size[2], at = thread_in_grid(), row = at / out, column = at % out;
  if (row >= d.size[0]) return;
  float sum = 0;
  for (int64_t p = 0; p < in; ++p) sum = fma(d.in[0][row * in + p], d.scratch[p * out + column], sum);
  d.out[at] = sum;
}

dim3 all(int64_t n) { return dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads)); }

void rung_1(Stream stream, const taut::lab::LadderData& d) {
  launch(build_h, all(d.size[1] * d.size[2]), kThreads, 0, stream, d);
  launch(plain_product, all(d.size[0] * d.size[2]), kThreads, 0, stream, d);
}
void rung_2(Stream stream, const taut::lab::LadderData& d) {
  launch(build_h, all(d.size[1] * d.size[2]), kThreads, 0, stream, d);
  const MatmulShape s{
      .m = d.size[0], .n = d.size[2], .k = d.size[1], .lda = d.size[1], .ldb = d.size[2], .ldc = d.size[2]};
  matmul<float>(stream, d.in[0], d.scratch, nullptr, nullptr, d.out, nullptr, s, Epilogue::kNone);
}
void production(Stream stream, const taut::lab::LadderData& d) {
  phm_forward<float>(stream, d.in[0], d.in[1], d.in[2], d.in[3], nullptr, d.out, taut::lab::phm_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"build H, then a product of a thread an element", taut::lab::LadderCount::kSectors, false, rung_1},
    {"build H, then the product with tiles", taut::lab::LadderCount::kSectors, false, rung_2},
    {"never build H: n n numbers a row carry everything between the two factors", taut::lab::LadderCount::kRequests,
     true, production},
};

}  // namespace

void phm_linear_rungs(taut::lab::Rungs* rungs) {
  *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])};
}

}  // namespace taut::TAUT_GPU
