// The CPU's ladder of layer norm: out = layer_norm(x). Data: in x, w, b; size rows, cols; number eps.
#include "kernels/lab/rungs.h"
#include "kernels/math.h"
#include "kernels/norm.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

// kParts partial sums: element i goes to part i mod kParts, as vectors can.
template <int kParts, class Term>
float sum_of(int64_t n, Term term) {
  float parts[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= n; i += kParts)
    for (int p = 0; p < kParts; ++p) parts[p] += term(i + p);
  for (int p = 0; i < n; ++i, ++p) parts[p] += term(i);
  for (int half = kParts / 2; half >= 1; half /= 2)
    for (int p = 0; p < half; ++p) parts[p] += parts[p + half];
  return parts[0];
}

template <int kParts>
void rows(Stream, const LadderData& d) {
  const int64_t cols = d.size[1];
  for (int64_t row = 0; row < d.size[0]; ++row) {
    const float* const in = d.in[0] + row * cols;
    const float mean = sum_of<kParts>(cols, [=](int64_t i) { return in[i]; }) / static_cast<float>(cols);
    const float squares = sum_of<kParts>(cols, [=](int64_t i) { return (in[i] - mean) * (in[i] - mean); });
    const float rstd = 1.0f / sqrt(squares / static_cast<float>(cols) + d.number[0]);
    for (int64_t i = 0; i < cols; ++i) d.out[row * cols + i] = (in[i] - mean) * rstd * d.in[1][i] + d.in[2][i];
  }
}

void production(Stream stream, const LadderData& d) {
  layer_norm_forward<float>(stream, d.in[0], d.in[1], d.in[2], d.out, nullptr, nullptr, d.size[0], d.size[1],
                            d.number[0]);
}

constexpr taut::lab::Rung kRungs[] = {
    {"one sum after the other element by element: each addition waits for the one before",
     taut::lab::LadderCount::kTime, false, rows<1>},
    {"8 partial sums: additions that do not wait for each other, in one vector", taut::lab::LadderCount::kTime, false,
     rows<8>},
    {"64 partial sums in four vectors of 16, all threads", taut::lab::LadderCount::kTime, true, production},
};

}  // namespace

void layer_norm_rungs(taut::lab::Rungs* rungs) {
  *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])};
}

}  // namespace taut::TAUT_CPU
