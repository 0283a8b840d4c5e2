// Cases of attention: softmax(scale q kT) v for each image and head, qkv (b, t, 3, heads, d).
#include "tests/ops/families.h"

namespace taut::cases {
namespace {

// Of qkv: with P = softmax(scale q kT), dV = PT dout, dP = dout vT, dS = P (dP - the sum of P dP over its row),
// dQ = scale dS k, dK = scale dST q.
template <class T>
Array<T> attention_gradient(const Array<T>& qkv, const Array<T>& dout, int64_t rows, double scale) {
  const int64_t b = qkv.size(0), t = qkv.size(1), heads = qkv.size(3), d = qkv.size(4);
  Array<T> dqkv(qkv.shape);
  std::vector<T> p(static_cast<size_t>(t)), dp(p);
  for (int64_t at = 0; at < b * heads * rows; ++at) {
    const int64_t query = at % rows, head = at / rows % heads, image = at / rows / heads;
    const auto row = [&](int64_t token, int64_t which) {
      return (((image * t + token) * 3 + which) * heads + head) * d;
    };
    const T* const q = &qkv[row(query, 0)];
    const T* const g = &dout[((image * rows + query) * heads + head) * d];
    T most(0), sum(0), mean(0);
    for (int64_t j = 0; j < t; ++j) {
      T s(0), u(0);
      for (int64_t c = 0; c < d; ++c) {
        s += q[c] * qkv[row(j, 1) + c];
        u += g[c] * qkv[row(j, 2) + c];
      }
      p[static_cast<size_t>(j)] = s * T(scale);
      dp[static_cast<size_t>(j)] = u;
      most = j == 0 ? s * T(scale) : larger(most, s * T(scale));
    }
    for (T& s : p) sum += s = exp(s - most);
    for (size_t j = 0; j < p.size(); ++j) mean += (p[j] /= sum) * dp[j];
    for (int64_t j = 0; j < t; ++j) {
      const T pj = p[static_cast<size_t>(j)], ds = pj * (dp[static_cast<size_t>(j)] - mean) * T(scale);
      for (int64_t c = 0; c < d; ++c) {
        dqkv[row(query, 0) + c] += ds * qkv[row(j, 1) + c];
        dqkv[row(j, 1) + c] += ds * q[c];
        dqkv[row(j, 2) + c] += pj * g[c];
      }
    }
  }
  return dqkv;
}

void add_row(CaseList& list, int64_t b, int64_t t, int64_t heads, int64_t d, int64_t queries = 0, double range = 1,
             const std::string& what = "") {
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const int64_t rows = queries == 0 ? t : queries;
  GradientOracle gradient_oracle;
  if (b * heads * rows * t * d > 2'500'000)
    gradient_oracle = [=]<class T>(const Arrays<T>& in, const Arrays<T>& dy) -> Arrays<T> {
      return {attention_gradient(in[0], dy[0], rows, scale)};
    };
  list.add({.op = "attention",
            .name = fmt::format("{}x{}x3x{}x{}{}{}", b, t, heads, d, queries ? fmt::format("-q{}", queries) : "", what),
            .inputs = {{.shape = {b, t, 3, heads, d}, .low = -range, .high = range}},
            .run = [=](const std::vector<Var>& in) { return std::vector<Var>{ops::attention(in[0], scale, queries)}; },
            .oracle = [=]<class T>(const Arrays<T>& in) -> Arrays<T> {
              Array<T> y({b, rows, heads * d});
              std::vector<T> p(static_cast<size_t>(t));
              for (int64_t i = 0; i < b; ++i) {
                for (int64_t h = 0; h < heads; ++h) {
                  const auto at = [&](int64_t token, int64_t which) {
                    return (((i * t + token) * 3 + which) * heads + h) * d;
                  };
                  for (int64_t q = 0; q < rows; ++q) {
                    for (int64_t k = 0; k < t; ++k) {
                      T s(0);
                      for (int64_t c = 0; c < d; ++c) s += in[0][at(q, 0) + c] * in[0][at(k, 1) + c];
                      p[static_cast<size_t>(k)] = s * T(scale);
                    }
                    double most = value_of(p[0]);
                    for (const T& s : p) most = larger(most, value_of(s));
                    T sum(0);
                    for (T& s : p) sum += s = exp(s - T(most));
                    for (int64_t c = 0; c < d; ++c) {
                      T s(0);
                      for (int64_t k = 0; k < t; ++k) s += p[static_cast<size_t>(k)] / sum * in[0][at(k, 2) + c];
                      y[(i * rows + q) * heads * d + h * d + c] = s;
                    }
                  }
                }
              }
              return {y};
            },
            .gradient_oracle = gradient_oracle,
            .bf16 = true,
            .zeros = b == 0,
            .flops = 4.0 * static_cast<double>(b * heads * rows * t * d)});
}

}  // namespace

void add_attention_cases(CaseList& list) {
  add_row(list, 1, 1, 1, 1);
  add_row(list, 2, 7, 3, 8);
  add_row(list, 1, 17, 2, 5);
  add_row(list, 2, 65, 1, 16);
  add_row(list, 0, 5, 2, 4);
  add_row(list, 1, 300, 1, 8);
  add_row(list, 1, 50, 2, 64);
  add_row(list, 1, 197, 1, 32);
  add_row(list, 1, 197, 3, 64);     // a block of ViT-Ti
  add_row(list, 1, 197, 3, 64, 1);  // the last block of a ViT needs the class token alone
  add_row(list, 2, 50, 2, 16, 3);
  add_row(list, 1, 19, 2, 80);
  add_row(list, 1, 33, 2, 16, 0, 8, "-far-apart");
  add_row(list, 1, 240, 1, 16);  // more tokens than a ViT's 197, few enough for tensor cores
  add_row(list, 1, 70, 1, 128, 5);
  // f32 rows of scores too long for 16 queries in shared memory: backward, and forward too.
  add_row(list, 1, 577, 1, 64, 1);
  add_row(list, 1, 1490, 1, 16, 1);
  // Beyond any block's shared memory: backward for queries, forward too, and heads too wide for all three kernels.
  add_row(list, 1, 3200, 1, 4, 1);  // of the smaller GPUs' blocks
  add_row(list, 1, 3, 1, 400);
  add_row(list, 1, 7400, 1, 3, 1);
  add_row(list, 1, 14600, 1, 2, 1);
  add_row(list, 1, 3, 3, 1640);
  // On tensor cores these are streamed: too many tokens, or too wide for that many.
  add_row(list, 1, 260, 2, 64, 67);
  add_row(list, 1, 257, 1, 24, 0, 8, "-far-apart");
  add_row(list, 1, 130, 1, 120);
  list.reject(
      "attention", "dimensions",
      [] {
        ops::attention(Var(Tensor::zeros({1, 4, 6, 8})), 1);
      },
      "[attention] expected");
  list.reject(
      "attention", "not-three",
      [] {
        ops::attention(Var(Tensor::zeros({1, 4, 2, 6, 8})), 1);
      },
      "[attention] expected");
  list.reject(
      "attention", "queries",
      [] {
        ops::attention(Var(Tensor::zeros({1, 4, 3, 2, 8})), 1, 5);
      },
      "[attention] expected");
}

}  // namespace taut::cases
