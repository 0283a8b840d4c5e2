// PHM kernels: bit for bit what a plain loop gives that follows the order kernels/phm.h documents, on both instruction
// sets and any number of threads, for every choice of gradients; and near the product with the materialised H in
// double.
#include "kernels/phm.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "tests/kernels/contract.h"

namespace taut {
namespace {

using contract::isas;
using contract::random_normal;
using contract::same_bytes;
using contract::Threads;

template <class T>
struct Problem {
  PhmShape s;
  std::vector<T> x, rule, left, right, bias, dy;

  Problem(const PhmShape& shape, uint32_t seed) : s(shape) {
    x = random_normal<T>(s.rows * s.in, seed);
    rule = random_normal<T>(s.n * s.n * s.n, seed + 1);
    left = random_normal<T>(s.in * s.rank, seed + 2);
    right = random_normal<T>(s.rank * s.out, seed + 3);
    bias = random_normal<T>(s.out, seed + 4);
    dy = random_normal<T>(s.rows * s.out, seed + 5);
  }
};

template <class T>
struct Results {
  std::vector<T> y, dx, drule, dleft, dright;
};

// Bits of `mask`: dx, drule, dleft, dright. Unwanted gradients stay empty; buffers start as NaN with guards behind.
template <class T>
Results<T> run(Isa isa, const Problem<T>& q, int mask = 15, bool bias = true) {
  constexpr size_t kGuard = 20;
  Results<T> r;
  const auto make = [&](std::vector<T>& v, const std::vector<T>& shaped_as, bool wanted) -> T* {
    if (!wanted) return nullptr;
    v.assign(shaped_as.size() + kGuard, std::numeric_limits<T>::quiet_NaN());
    return v.data();
  };
  T* const y = make(r.y, q.dy, true);
  T* const dx = make(r.dx, q.x, mask & 1);
  T* const drule = make(r.drule, q.rule, mask & 2);
  T* const dleft = make(r.dleft, q.left, mask & 4);
  T* const dright = make(r.dright, q.right, mask & 8);
  const T* const b = bias ? q.bias.data() : nullptr;
  const T* const x = mask & 14 ? q.x.data() : nullptr;
  if (isa == Isa::kAvx512) {
    avx512::phm_forward<T>({}, q.x.data(), q.rule.data(), q.left.data(), q.right.data(), b, y, q.s);
    avx512::phm_backward<T>({}, q.dy.data(), x, q.rule.data(), q.left.data(), q.right.data(), dx, drule, dleft, dright,
                            q.s);
  } else {
    avx2::phm_forward<T>({}, q.x.data(), q.rule.data(), q.left.data(), q.right.data(), b, y, q.s);
    avx2::phm_backward<T>({}, q.dy.data(), x, q.rule.data(), q.left.data(), q.right.data(), dx, drule, dleft, dright,
                          q.s);
  }
  for (std::vector<T>* v : {&r.y, &r.dx, &r.drule, &r.dleft, &r.dright}) {
    if (v->empty()) continue;
    for (size_t i = v->size() - kGuard; i < v->size(); ++i) REQUIRE(std::isnan((*v)[i]));
    v->resize(v->size() - kGuard);
  }
  return r;
}

// Column sum of chunk sums: `of_chunk(first row, rows)` is the sum over one chunk of 32 rows.
template <class T, class OfChunk>
T column_sum(int64_t rows, OfChunk&& of_chunk) {
  T partial[64] = {};
  for (int64_t chunk = 0; chunk * 32 < rows; ++chunk)
    partial[chunk % 64] += of_chunk(chunk * 32, std::min<int64_t>(32, rows - chunk * 32));
  return contract::fold64(partial);
}

template <class T>
Results<T> follow_contract(const Problem<T>& q, bool bias = true) {
  const PhmShape& s = q.s;
  const int64_t n = s.n, rank = s.rank, width_in = s.in / n, width_out = s.out / n;
  const auto get = [](const std::vector<T>& v, int64_t i) { return v[static_cast<size_t>(i)]; };
  const auto rule = [&](int64_t i, int64_t a, int64_t b) { return get(q.rule, (i * n + a) * n + b); };
  const auto left = [&](int64_t i, int64_t p, int64_t r) { return get(q.left, (i * width_in + p) * rank + r); };
  const auto right = [&](int64_t i, int64_t r, int64_t c) { return get(q.right, (i * rank + r) * width_out + c); };
  const auto x = [&](int64_t row, int64_t a, int64_t p) { return get(q.x, (row * n + a) * width_in + p); };
  const auto g = [&](int64_t row, int64_t b, int64_t c) { return get(q.dy, (row * n + b) * width_out + c); };
  const size_t values = static_cast<size_t>(s.rows * n * n * rank);
  const auto at = [&](int64_t row, int64_t i, int64_t a, int64_t r) {
    return static_cast<size_t>(((row * n + i) * n + a) * rank + r);
  };
  std::vector<T> u(values), v(values), gt(values), gu(values);
  Results<T> result;
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t a = 0; a < n; ++a)
        for (int64_t r = 0; r < rank; ++r) {
          u[at(row, i, a, r)] = contract::row_sum<T>(width_in, [&](int64_t p) { return x(row, a, p) * left(i, p, r); });
          gt[at(row, i, a, r)] =
              contract::row_sum<T>(width_out, [&](int64_t c) { return g(row, a, c) * right(i, r, c); });
        }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t b = 0; b < n; ++b)
        for (int64_t r = 0; r < rank; ++r) {
          T down = 0, up = 0;
          for (int64_t a = 0; a < n; ++a) {
            down = std::fma(rule(i, a, b), u[at(row, i, a, r)], down);
            up = std::fma(rule(i, b, a), gt[at(row, i, a, r)], up);
          }
          v[at(row, i, b, r)] = down;
          gu[at(row, i, b, r)] = up;
        }
    for (int64_t b = 0; b < n; ++b) {
      for (int64_t c = 0; c < width_out; ++c) {
        T sum = 0;
        for (int64_t i = 0; i < n; ++i)
          for (int64_t r = 0; r < rank; ++r) sum = std::fma(v[at(row, i, b, r)], right(i, r, c), sum);
        result.y.push_back(bias ? sum + get(q.bias, b * width_out + c) : sum);
      }
      for (int64_t p = 0; p < width_in; ++p) {
        T sum = 0;
        for (int64_t i = 0; i < n; ++i)
          for (int64_t r = 0; r < rank; ++r) sum = std::fma(gu[at(row, i, b, r)], left(i, p, r), sum);
        result.dx.push_back(sum);
      }
    }
  }
  const auto chain = [&](int64_t row0, int64_t rows, auto&& factor, auto&& value) {
    T sum = 0;
    for (int64_t row = row0; row < row0 + rows; ++row)
      for (int64_t b = 0; b < n; ++b) sum = std::fma(factor(row, b), value(row, b), sum);
    return sum;
  };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t a = 0; a < n; ++a)
      for (int64_t b = 0; b < n; ++b)
        result.drule.push_back(column_sum<T>(s.rows, [&](int64_t row0, int64_t rows) {
          return contract::row_sum<T>(rows, [&](int64_t row) {
            T sum = 0;
            for (int64_t r = 0; r < rank; ++r)
              sum = std::fma(u[at(row0 + row, i, a, r)], gt[at(row0 + row, i, b, r)], sum);
            return sum;
          });
        }));
    for (int64_t p = 0; p < width_in; ++p)
      for (int64_t r = 0; r < rank; ++r)
        result.dleft.push_back(column_sum<T>(s.rows, [&](int64_t row0, int64_t rows) {
          return chain(
              row0, rows, [&](int64_t row, int64_t a) { return gu[at(row, i, a, r)]; },
              [&](int64_t row, int64_t a) { return x(row, a, p); });
        }));
    for (int64_t r = 0; r < rank; ++r)
      for (int64_t c = 0; c < width_out; ++c)
        result.dright.push_back(column_sum<T>(s.rows, [&](int64_t row0, int64_t rows) {
          return chain(
              row0, rows, [&](int64_t row, int64_t b) { return v[at(row, i, b, r)]; },
              [&](int64_t row, int64_t b) { return g(row, b, c); });
        }));
  }
  return result;
}

constexpr PhmShape kShapes[] = {
    {.rows = 1, .in = 1, .out = 1, .n = 1, .rank = 1},      {.rows = 33, .in = 12, .out = 8, .n = 4, .rank = 1},
    {.rows = 7, .in = 15, .out = 9, .n = 3, .rank = 2},     {.rows = 70, .in = 768, .out = 24, .n = 4, .rank = 1},
    {.rows = 70, .in = 24, .out = 768, .n = 4, .rank = 1},  {.rows = 2113, .in = 6, .out = 10, .n = 2, .rank = 3},
    {.rows = 40, .in = 200, .out = 340, .n = 5, .rank = 1}, {.rows = 0, .in = 8, .out = 8, .n = 4, .rank = 1},
};

template <class T>
void check_bits(const PhmShape& shape) {
  const Problem<T> q(shape, 5);
  const Results<T> wanted = follow_contract(q), plain = follow_contract(q, false);
  for (const Isa isa : isas()) {
    INFO("rows " << shape.rows << " in " << shape.in << " out " << shape.out << " n " << shape.n << " rank "
                 << shape.rank << " " << name(isa) << " bytes " << sizeof(T));
    for (const int threads : {1, 2, 3}) {
      const Threads set(threads);
      const Results<T> got = run(isa, q);
      INFO("threads " << threads);
      CHECK(same_bytes(got.y, wanted.y));
      CHECK(same_bytes(got.dx, wanted.dx));
      CHECK(same_bytes(got.drule, wanted.drule));
      CHECK(same_bytes(got.dleft, wanted.dleft));
      CHECK(same_bytes(got.dright, wanted.dright));
    }
    CHECK(same_bytes(run(isa, q, 15, false).y, plain.y));
    for (int mask = 0; mask < 15; ++mask) {
      const Results<T> got = run(isa, q, mask);
      INFO("mask " << mask);
      CHECK(same_bytes(got.dx, mask & 1 ? wanted.dx : std::vector<T>()));
      CHECK(same_bytes(got.drule, mask & 2 ? wanted.drule : std::vector<T>()));
      CHECK(same_bytes(got.dleft, mask & 4 ? wanted.dleft : std::vector<T>()));
      CHECK(same_bytes(got.dright, mask & 8 ? wanted.dright : std::vector<T>()));
    }
  }
}

TEST_CASE("phm: the bits of the documented order, any shape, half, number of threads and choice of gradients") {
  for (const PhmShape& shape : kShapes) {
    check_bits<float>(shape);
    check_bits<double>(shape);
  }
}

TEST_CASE("phm: the product with the materialised H, and its gradients through H") {
  const PhmShape s{.rows = 45, .in = 24, .out = 12, .n = 4, .rank = 2};
  const Problem<double> q(s, 9);
  const int64_t n = s.n, width_in = s.in / n, width_out = s.out / n;
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  std::vector<double> h(at(s.in * s.out)), y(q.dy.size()), dx(q.x.size()), dh(h.size());
  std::vector<double> drule(q.rule.size()), dleft(q.left.size()), dright(q.right.size());
  const auto each = [&](auto&& body) {  // every term of H: rule, left and right elements, and the element of H
    for (int64_t i = 0; i < n; ++i)
      for (int64_t row = 0; row < s.in; ++row)
        for (int64_t col = 0; col < s.out; ++col)
          for (int64_t r = 0; r < s.rank; ++r)
            body(at((i * n + row / width_in) * n + col / width_out), at((i * width_in + row % width_in) * s.rank + r),
                 at((i * s.rank + r) * width_out + col % width_out), at(row * s.out + col));
  };
  each([&](size_t a, size_t l, size_t t, size_t e) { h[e] += q.rule[a] * q.left[l] * q.right[t]; });
  for (int64_t row = 0; row < s.rows; ++row)
    for (int64_t c = 0; c < s.out; ++c) {
      y[at(row * s.out + c)] = q.bias[at(c)];
      for (int64_t k = 0; k < s.in; ++k) {
        y[at(row * s.out + c)] += q.x[at(row * s.in + k)] * h[at(k * s.out + c)];
        dx[at(row * s.in + k)] += q.dy[at(row * s.out + c)] * h[at(k * s.out + c)];
        dh[at(k * s.out + c)] += q.x[at(row * s.in + k)] * q.dy[at(row * s.out + c)];
      }
    }
  each([&](size_t a, size_t l, size_t t, size_t e) {
    drule[a] += dh[e] * q.left[l] * q.right[t];
    dleft[l] += dh[e] * q.rule[a] * q.right[t];
    dright[t] += dh[e] * q.rule[a] * q.left[l];
  });
  for (const Isa isa : isas()) {
    const Results<double> got = run(isa, q);
    CHECK(contract::relative_error(got.y, y) < 1e-13);
    CHECK(contract::relative_error(got.dx, dx) < 1e-13);
    CHECK(contract::relative_error(got.drule, drule) < 1e-13);
    CHECK(contract::relative_error(got.dleft, dleft) < 1e-13);
    CHECK(contract::relative_error(got.dright, dright) < 1e-13);
  }
}

}  // namespace
}  // namespace taut
