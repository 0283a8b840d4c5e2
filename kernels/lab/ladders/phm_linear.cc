// The CPU's ladder of a PHM layer (Compacter): out (rows, out) = x H, H = sum_i kron(A_i, s_i t_i). Data: in x (rows,
// in), rule (n, n, n), left (n, in/n, 1), right (n, 1, out/n); scratch (in, out); size rows, in, out, n.
#include "kernels/phm.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"
#include "kernels/matmul.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

void build_h(const LadderData& d) {
  const int64_t in = d.size[1], out = d.size[2], n = d.size[3], width_in = in / n, width_out = out / n;
  for (int64_t row = 0; row < in; ++row)
    for (int64_t column = 0; column < out; ++column) {
      float sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        const float weight = d.in[1][(i * n + row / width_in) * n + column / width_out];
        sum = fma(weight, d.in[2][i * width_in + row % width_in] * d.in[3][i * width_out + column % width_out], sum);
      }
      d.scratch[row * out + column] = sum;
    }
}

void plain_product(Stream, const LadderData& d) {
  build_h(d);
  const int64_t in = d.size[1], out = d.size[2];
  for (int64_t row = 0; row < d.size[0]; ++row)
    for (int64_t column = 0; column < out; ++column) {
      float sum = 0;
      for (int64_t p = 0; p < in; ++p) sum = fma(d.in[0][row * in + p], d.scratch[p * out + column], sum);
      d.out[row * out + column] = sum;
    }
}

void fast_product(Stream stream, const LadderData& d) {
  build_h(d);
  const MatmulShape s{
      .m = d.size[0], .n = d.size[2], .k = d.size[1], .lda = d.size[1], .ldb = d.size[2], .ldc = d.size[2]};
  matmul<float>(stream, d.in[0], d.scratch, nullptr, nullptr, d.out, nullptr, s, Epilogue::kNone);
}

void production(Stream stream, const LadderData& d) {
  phm_forward<float>(stream, d.in[0], d.in[1], d.in[2], d.in[3], nullptr, d.out, taut::lab::phm_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"build H, then a product element by element", taut::lab::LadderCount::kTime, false, plain_product},
    {"build H, then the fast product", taut::lab::LadderCount::kTime, false, fast_product},
    {"never build H: n n numbers a row carry everything between the two factors", taut::lab::LadderCount::kTime, true,
     production},
};

}  // namespace

void phm_linear_rungs(taut::lab::Rungs* rungs) {
  *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])};
}

}  // namespace taut::TAUT_CPU
