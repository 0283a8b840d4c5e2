// The CPU's ladder of softmax: x (rows, cols) -> out. Data: in x; size rows, cols.
#include "kernels/softmax.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

float greatest(const float* x, int64_t cols) {
  float m = x[0];
  for (int64_t i = 1; i < cols; ++i) m = max(m, x[i]);
  return m;
}

void exp_twice(Stream, const LadderData& d) {
  const int64_t cols = d.size[1];
  for (int64_t row = 0; row < d.size[0]; ++row) {
    const float* const in = d.in[0] + row * cols;
    const float m = greatest(in, cols);
    float sum = 0;
    for (int64_t i = 0; i < cols; ++i) sum += __builtin_expf(in[i] - m);
    for (int64_t i = 0; i < cols; ++i) d.out[row * cols + i] = __builtin_expf(in[i] - m) / sum;
  }
}

void exp_once(Stream, const LadderData& d) {
  const int64_t cols = d.size[1];
  for (int64_t row = 0; row < d.size[0]; ++row) {
    const float* const in = d.in[0] + row * cols;
    float* const out = d.out + row * cols;
    const float m = greatest(in, cols);
    float sum = 0;
    for (int64_t i = 0; i < cols; ++i) sum += out[i] = __builtin_expf(in[i] - m);
    const float inverse = 1 / sum;
    for (int64_t i = 0; i < cols; ++i) out[i] *= inverse;
  }
}

void production(Stream stream, const LadderData& d) {
  softmax_forward<float>(stream, d.in[0], d.out, d.size[0], d.size[1], 1);
}

constexpr taut::lab::Rung kRungs[] = {
    {"the formula: libm's exp twice for every element, a division each", taut::lab::LadderCount::kTime, false,
     exp_twice},
    {"exp once, kept in the output; one division a row", taut::lab::LadderCount::kTime, false, exp_once},
    {"exp as a polynomial over 16 lanes, four vectors of partial sums, all threads", taut::lab::LadderCount::kTime,
     true, production},
};

}  // namespace

void softmax_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_CPU
