// The CPU's ladder of attention: out (b, t, heads, d) of a fused qkv (b, t, 3, heads, d). Data: in qkv; scratch (b,
// heads, t, t); size b, t, heads, d; number scale.
#include "kernels/attention.h"

#include "kernels/lab/rungs.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

using taut::lab::LadderData;

struct Head {
  const float *q, *k, *v;
  float *scores, *out;
  int64_t token, out_token;
  Head(const LadderData& data, int64_t at) {
    const int64_t t = data.size[1], heads = data.size[2], d = data.size[3];
    token = 3 * heads * d;
    out_token = heads * d;
    q = data.in[0] + at / heads * t * token + at % heads * d;
    k = q + heads * d;
    v = k + heads * d;
    scores = data.scratch + at * t * t;
    out = data.out + at / heads * t * out_token + at % heads * d;
  }
};

void softmax_row(float* row, int64_t t) {
  float m = row[0], sum = 0;
  for (int64_t j = 1; j < t; ++j) m = max(m, row[j]);
  for (int64_t j = 0; j < t; ++j) sum += row[j] = exp(row[j] - m);
  for (int64_t j = 0; j < t; ++j) row[j] /= sum;
}

void by_elements(Stream, const LadderData& data) {
  const int64_t t = data.size[1], d = data.size[3];
  for (int64_t at = 0; at < data.size[0] * data.size[2]; ++at) {
    const Head h(data, at);
    for (int64_t i = 0; i < t; ++i) {
      float* const row = h.scores + i * t;
      for (int64_t j = 0; j < t; ++j) {
        float sum = 0;
        for (int64_t e = 0; e < d; ++e) sum = fma(data.number[0] * h.q[i * h.token + e], h.k[j * h.token + e], sum);
        row[j] = sum;
      }
      softmax_row(row, t);
      for (int64_t e = 0; e < d; ++e) {
        float sum = 0;
        for (int64_t j = 0; j < t; ++j) sum = fma(row[j], h.v[j * h.token + e], sum);
        h.out[i * h.out_token + e] = sum;
      }
    }
  }
}

// The sums over V run along its rows, those over K in 8 parts.
void by_rows(Stream, const LadderData& data) {
  constexpr int kParts = 8;
  const int64_t t = data.size[1], d = data.size[3];
  for (int64_t at = 0; at < data.size[0] * data.size[2]; ++at) {
    const Head h(data, at);
    for (int64_t i = 0; i < t; ++i) {
      float* const row = h.scores + i * t;
      float* const out = h.out + i * h.out_token;
      const float* const q = h.q + i * h.token;
      for (int64_t j = 0; j < t; ++j) {
        const float* const k = h.k + j * h.token;
        float parts[kParts] = {}, sum = 0;
        int64_t e = 0;
        for (; e + kParts <= d; e += kParts)
          for (int p = 0; p < kParts; ++p) parts[p] = fma(q[e + p], k[e + p], parts[p]);
        for (; e < d; ++e) sum = fma(q[e], k[e], sum);
        for (const float part : parts) sum += part;
        row[j] = data.number[0] * sum;
      }
      softmax_row(row, t);
      for (int64_t e = 0; e < d; ++e) out[e] = 0;
      for (int64_t j = 0; j < t; ++j)
        for (int64_t e = 0; e < d; ++e) out[e] = fma(row[j], h.v[j * h.token + e], out[e]);
    }
  }
}

void production(Stream stream, const LadderData& d) {
  attention_forward<float>(stream, d.in[0], d.out, nullptr, taut::lab::attention_shape(d));
}

constexpr taut::lab::Rung kRungs[] = {
    {"the formula, number by number: V is walked down its columns", taut::lab::LadderCount::kTime, false, by_elements},
    {"sums along rows of V and in 8 parts along rows of K", taut::lab::LadderCount::kTime, false, by_rows},
    {"the matrix product's kernel for both products, a tile of scores in the cache, all threads",
     taut::lab::LadderCount::kTime, true, production},
};

}  // namespace

void attention_rungs(taut::lab::Rungs* rungs) { *rungs = {kRungs, static_cast<int>(sizeof kRungs / sizeof kRungs[0])}; }

}  // namespace taut::TAUT_CPU
