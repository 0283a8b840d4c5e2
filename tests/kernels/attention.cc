// Attention kernels: bit for bit what a plain loop gives that follows the order kernels/attention.h documents, on both
// instruction sets and any number of threads; near the formula in double; and the derivative of their own forward pass.
#include "kernels/attention.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "kernels/math.h"
#include "tests/kernels/contract.h"

namespace taut {
namespace {

using contract::isas;
using contract::random_normal;
using contract::same_bytes;
using contract::Threads;

template <class T>
struct Results {
  std::vector<T> out, stats, dqkv;
};

template <class T>
T nan() {
  return std::numeric_limits<T>::quiet_NaN();
}

size_t out_size(const AttentionShape& s) { return static_cast<size_t>(s.b * s.tq * s.heads * s.d); }

// Forward and backward into buffers full of NaN with guards behind, which must survive.
template <class T>
Results<T> run(Isa isa, const std::vector<T>& qkv, const std::vector<T>& dout, const AttentionShape& s) {
  constexpr size_t kGuard = 32;
  const size_t rows = static_cast<size_t>(2 * s.b * s.heads * s.tq);
  Results<T> r;
  r.out.assign(out_size(s) + kGuard, nan<T>());
  r.stats.assign(rows + kGuard, nan<T>());
  r.dqkv.assign(qkv.size() + kGuard, nan<T>());
  if (isa == Isa::kAvx512) {
    avx512::attention_forward<T>({}, qkv.data(), r.out.data(), r.stats.data(), s);
    avx512::attention_backward<T>({}, qkv.data(), r.stats.data(), dout.data(), r.dqkv.data(), s);
  } else {
    avx2::attention_forward<T>({}, qkv.data(), r.out.data(), r.stats.data(), s);
    avx2::attention_backward<T>({}, qkv.data(), r.stats.data(), dout.data(), r.dqkv.data(), s);
  }
  for (std::vector<T>* x : {&r.out, &r.stats, &r.dqkv}) {
    for (size_t i = x->size() - kGuard; i < x->size(); ++i) REQUIRE(std::isnan((*x)[i]));
    x->resize(x->size() - kGuard);
  }
  return r;
}

float contract_exp(float x) { return scalar::exp(x); }
double contract_exp(double x) { return std::exp(x); }

// The documented order, element by element.
template <class T>
Results<T> follow_contract(const std::vector<T>& qkv, const std::vector<T>& dout, const AttentionShape& s) {
  const int64_t t = s.t, tq = s.tq, d = s.d;
  Results<T> r;
  r.out.resize(out_size(s));
  r.stats.resize(static_cast<size_t>(2 * s.b * s.heads * tq));
  r.dqkv.assign(qkv.size(), T(0));
  const T scale = static_cast<T>(s.scale);
  std::vector<T> p(static_cast<size_t>(tq * t)), ds(p.size());
  for (int64_t image = 0; image < s.b; ++image) {
    for (int64_t head = 0; head < s.heads; ++head) {
      const auto in = [&](int64_t which, int64_t token, int64_t c) {
        return static_cast<size_t>((((image * t + token) * 3 + which) * s.heads + head) * d + c);
      };
      const auto at_out = [&](int64_t token, int64_t c) {
        return static_cast<size_t>(((image * tq + token) * s.heads + head) * d + c);
      };
      const auto q = [&](int64_t i, int64_t c) { return qkv[in(0, i, c)] * scale; };
      const auto k = [&](int64_t i, int64_t c) { return qkv[in(1, i, c)]; };
      const auto v = [&](int64_t i, int64_t c) { return qkv[in(2, i, c)]; };
      const auto g = [&](int64_t i, int64_t c) { return dout[at_out(i, c)]; };
      for (int64_t i = 0; i < tq; ++i) {
        T* const row = p.data() + i * t;
        T* const ds_row = ds.data() + i * t;
        T most = -std::numeric_limits<T>::infinity();
        for (int64_t j = 0; j < t; ++j) {
          row[j] = contract::product<T>(
              d, [&](int64_t c) { return q(i, c); }, [&](int64_t c) { return k(j, c); });
          most = std::max(most, row[j]);
        }
        for (int64_t j = 0; j < t; ++j) row[j] = contract_exp(row[j] - most);
        const T inverse = T(1) / contract::row_sum<T>(t, [&](int64_t j) { return row[j]; });
        r.stats[static_cast<size_t>(2 * ((image * s.heads + head) * tq + i))] = most;
        r.stats[static_cast<size_t>(2 * ((image * s.heads + head) * tq + i) + 1)] = inverse;
        for (int64_t c = 0; c < d; ++c)
          r.out[at_out(i, c)] = contract::product<T>(
                                    t, [&](int64_t j) { return row[j]; }, [&](int64_t j) { return v(j, c); }) *
                                inverse;
        for (int64_t j = 0; j < t; ++j) {
          row[j] *= inverse;
          ds_row[j] = contract::product<T>(
              d, [&](int64_t c) { return g(i, c); }, [&](int64_t c) { return v(j, c); });
        }
        const T mean = contract::row_sum<T>(t, [&](int64_t j) { return row[j] * ds_row[j]; });
        for (int64_t j = 0; j < t; ++j) ds_row[j] = row[j] * (ds_row[j] - mean);
        for (int64_t c = 0; c < d; ++c)
          r.dqkv[in(0, i, c)] = contract::product<T>(
                                    t, [&](int64_t j) { return ds_row[j]; }, [&](int64_t j) { return k(j, c); }) *
                                scale;
      }
      for (int64_t j = 0; j < t; ++j) {
        for (int64_t c = 0; c < d; ++c) {
          r.dqkv[in(1, j, c)] = contract::product<T>(
              tq, [&](int64_t i) { return ds[static_cast<size_t>(i * t + j)]; }, [&](int64_t i) { return q(i, c); });
          r.dqkv[in(2, j, c)] = contract::product<T>(
              tq, [&](int64_t i) { return p[static_cast<size_t>(i * t + j)]; }, [&](int64_t i) { return g(i, c); });
        }
      }
    }
  }
  return r;
}

std::string describe(const AttentionShape& s) {
  return "b " + std::to_string(s.b) + " t " + std::to_string(s.t) + " tq " + std::to_string(s.tq) + " heads " +
         std::to_string(s.heads) + " d " + std::to_string(s.d);
}

template <class T>
void check_bits(AttentionShape s, uint32_t seed) {
  s.scale = 1 / std::sqrt(static_cast<double>(s.d));
  const std::vector<T> qkv = random_normal<T>(s.b * s.t * 3 * s.heads * s.d, seed, 1.5);
  const std::vector<T> dout = random_normal<T>(static_cast<int64_t>(out_size(s)), seed + 1);
  const Results<T> wanted = follow_contract(qkv, dout, s);
  for (const Isa isa : isas()) {
    for (const int threads : {1, 2, 3}) {
      const Threads set(threads);
      const Results<T> got = run(isa, qkv, dout, s);
      INFO(describe(s) << " " << name(isa) << " threads " << threads << " bytes " << sizeof(T));
      CHECK(same_bytes(got.out, wanted.out));
      CHECK(same_bytes(got.stats, wanted.stats));
      CHECK(same_bytes(got.dqkv, wanted.dqkv));
    }
  }
}

TEST_CASE("attention: the bits of the documented order, any shape, half and number of threads") {
  const AttentionShape shapes[] = {
      {.b = 1, .t = 1, .tq = 1, .heads = 1, .d = 1},     {.b = 2, .t = 7, .tq = 7, .heads = 3, .d = 5},
      {.b = 3, .t = 37, .tq = 37, .heads = 4, .d = 16},  {.b = 2, .t = 37, .tq = 1, .heads = 2, .d = 16},
      {.b = 1, .t = 64, .tq = 63, .heads = 2, .d = 33},  {.b = 1, .t = 197, .tq = 197, .heads = 2, .d = 64},
      {.b = 1, .t = 197, .tq = 1, .heads = 3, .d = 64},  {.b = 1, .t = 300, .tq = 300, .heads = 1, .d = 20},
      {.b = 1, .t = 577, .tq = 577, .heads = 1, .d = 8}, {.b = 1, .t = 577, .tq = 400, .heads = 1, .d = 17},
      {.b = 1, .t = 19, .tq = 19, .heads = 1, .d = 400}, {.b = 1, .t = 1025, .tq = 60, .heads = 1, .d = 16},
  };
  uint32_t seed = 1;
  for (const AttentionShape& s : shapes) {
    check_bits<float>(s, seed);
    check_bits<double>(s, seed);
    seed += 2;
  }
}

// Formula in double, by another path than the kernels': P by long division, D from dP and P, no rounding of q.
void formula(const std::vector<double>& qkv, const std::vector<double>& dout, const AttentionShape& s,
             std::vector<double>* out, std::vector<double>* dqkv) {
  const int64_t t = s.t, tq = s.tq, d = s.d;
  out->assign(out_size(s), 0);
  dqkv->assign(qkv.size(), 0);
  std::vector<double> p(static_cast<size_t>(t)), dp(p.size());
  for (int64_t image = 0; image < s.b; ++image) {
    for (int64_t head = 0; head < s.heads; ++head) {
      const auto in = [&](int64_t which, int64_t token) {
        return (((image * t + token) * 3 + which) * s.heads + head) * d;
      };
      for (int64_t i = 0; i < tq; ++i) {
        const double* q = &qkv[static_cast<size_t>(in(0, i))];
        const int64_t at = ((image * tq + i) * s.heads + head) * d;
        double sum = 0;
        for (int64_t j = 0; j < t; ++j) {
          double dot = 0;
          for (int64_t c = 0; c < d; ++c) dot += q[c] * qkv[static_cast<size_t>(in(1, j) + c)];
          sum += p[static_cast<size_t>(j)] = std::exp(s.scale * dot);
        }
        double mean = 0;
        for (int64_t j = 0; j < t; ++j) {
          double& pj = p[static_cast<size_t>(j)];
          pj /= sum;
          double dot = 0;
          for (int64_t c = 0; c < d; ++c) {
            const auto v = static_cast<size_t>(in(2, j) + c);
            (*out)[static_cast<size_t>(at + c)] += pj * qkv[v];
            (*dqkv)[v] += pj * dout[static_cast<size_t>(at + c)];
            dot += qkv[v] * dout[static_cast<size_t>(at + c)];
          }
          dp[static_cast<size_t>(j)] = dot;
          mean += pj * dot;
        }
        for (int64_t j = 0; j < t; ++j) {
          const double ds = s.scale * p[static_cast<size_t>(j)] * (dp[static_cast<size_t>(j)] - mean);
          for (int64_t c = 0; c < d; ++c) {
            (*dqkv)[static_cast<size_t>(in(0, i) + c)] += ds * qkv[static_cast<size_t>(in(1, j) + c)];
            (*dqkv)[static_cast<size_t>(in(1, j) + c)] += ds * q[c];
          }
        }
      }
    }
  }
}

TEST_CASE("attention: near the formula in double") {
  for (const AttentionShape& s : {AttentionShape{.b = 2, .t = 37, .tq = 37, .heads = 2, .d = 16, .scale = .25},
                                  AttentionShape{.b = 1, .t = 197, .tq = 197, .heads = 1, .d = 64, .scale = .125},
                                  AttentionShape{.b = 1, .t = 400, .tq = 390, .heads = 2, .d = 7, .scale = -.3}}) {
    const std::vector<float> qkv = random_normal<float>(s.b * s.t * 3 * s.heads * s.d, 11);
    const std::vector<float> dout = random_normal<float>(static_cast<int64_t>(out_size(s)), 12);
    const std::vector<double> qkv64(qkv.begin(), qkv.end()), dout64(dout.begin(), dout.end());
    std::vector<double> out, dqkv;
    formula(qkv64, dout64, s, &out, &dqkv);
    for (const Isa isa : isas()) {
      INFO(describe(s) << " " << name(isa));
      const Results<double> in64 = run(isa, qkv64, dout64, s);
      CHECK(contract::relative_error(in64.out, out) < 1e-13);
      CHECK(contract::relative_error(in64.dqkv, dqkv) < 1e-13);
      const Results<float> in32 = run(isa, qkv, dout, s);
      CHECK(contract::relative_error(in32.out, out) < 1e-6);
      CHECK(contract::relative_error(in32.dqkv, dqkv) < 1e-6);
    }
  }
}

TEST_CASE("attention: f64 gradient against central differences of its own forward pass") {
  const AttentionShape s{.b = 1, .t = 9, .tq = 6, .heads = 2, .d = 5, .scale = .4};
  std::vector<double> qkv = random_normal<double>(s.b * s.t * 3 * s.heads * s.d, 21);
  const std::vector<double> dout = random_normal<double>(static_cast<int64_t>(out_size(s)), 22);
  const Isa isa = isas().back();
  const Results<double> r = run(isa, qkv, dout, s);
  std::vector<double> numeric;
  for (double& x : qkv) {
    const double at = x, step = 1e-5;
    double value[2];
    for (int side = 0; side < 2; ++side) {
      x = side == 0 ? at - step : at + step;
      const Results<double> moved = run(isa, qkv, dout, s);
      value[side] = 0;
      for (size_t i = 0; i < moved.out.size(); ++i) value[side] += moved.out[i] * dout[i];
    }
    x = at;
    numeric.push_back((value[1] - value[0]) / (2 * step));
  }
  CHECK(contract::relative_error(r.dqkv, numeric) < 1e-8);
}

TEST_CASE("attention: NaN stays in its row, far scores do not overflow, no queries and no images are fine") {
  const AttentionShape s{.b = 1, .t = 20, .tq = 20, .heads = 2, .d = 4, .scale = 1};
  std::vector<float> qkv = random_normal<float>(s.t * 3 * s.heads * s.d, 31, 30);
  const std::vector<float> dout = random_normal<float>(static_cast<int64_t>(out_size(s)), 32);
  for (const Isa isa : isas()) {
    for (const float x : run(isa, qkv, dout, s).out) CHECK(std::isfinite(x));
  }
  qkv[static_cast<size_t>(3 * 3 * s.heads * s.d)] = nan<float>();  // q of token 3, head 0
  for (const Isa isa : isas()) {
    const Results<float> r = run(isa, qkv, dout, s);
    for (int64_t i = 0; i < s.tq; ++i)
      for (int64_t c = 0; c < s.heads * s.d; ++c)
        CHECK(std::isnan(r.out[static_cast<size_t>(i * s.heads * s.d + c)]) == (i == 3 && c < s.d));
    AttentionShape none = s;
    none.tq = 0;
    for (const float x : run(isa, qkv, dout, none).dqkv) CHECK(x == 0);
    none.b = 0;
    CHECK(run(isa, std::vector<float>(), dout, none).dqkv.empty());
  }
}

}  // namespace
}  // namespace taut
