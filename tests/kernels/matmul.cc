// The matrix product against a plain loop that follows the numeric contract: equal bit for bit, on both instruction
// sets, for any number of threads, any rows, transposes, batches, leading dimensions and epilogues; nothing outside c
// is touched.
#include "kernels/matmul.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/pointwise.h"
#include "tests/kernels/contract.h"

namespace taut {
namespace {

using contract::isas;
using contract::Threads;

template <class T>
void run(Isa isa, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre, const MatmulShape& s,
         Epilogue epilogue) {
  if (isa == Isa::kAvx512)
    avx512::matmul<T>({}, a, b, bias, residual, c, pre, s, epilogue);
  else
    avx2::matmul<T>({}, a, b, bias, residual, c, pre, s, epilogue);
}

// The contract, element by element. GELU is left out: the caller checks `pre`.
template <class T>
T plain_element(const T* a, const T* b, const MatmulShape& s, int64_t i, int64_t j) {
  return contract::product<T>(
      s.k, [&](int64_t p) { return s.transpose_a ? a[p * s.lda + i] : a[i * s.lda + p]; },
      [&](int64_t p) { return s.transpose_b ? b[j * s.ldb + p] : b[p * s.ldb + j]; });
}

bool has_bias(Epilogue e) { return e == Epilogue::kBias || e == Epilogue::kBiasGelu || e == Epilogue::kBiasResidual; }
bool has_residual(Epilogue e) { return e == Epilogue::kResidual || e == Epilogue::kBiasResidual; }

// A problem with operands in buffers whose gaps and ends hold NaN; c and pre are NaN at first, with guards around.
template <class T>
struct Problem {
  static constexpr int64_t kGuard = 64;
  MatmulShape s;
  std::vector<T> a, b, bias, residual;

  int64_t rows_a() const { return s.transpose_a ? s.k : s.m; }
  int64_t cols_a() const { return s.transpose_a ? s.m : s.k; }
  int64_t rows_b() const { return s.transpose_b ? s.n : s.k; }
  int64_t cols_b() const { return s.transpose_b ? s.k : s.n; }
  int64_t size_c() const { return (s.batch - 1) * s.stride_c + s.m * s.ldc; }

  Problem(int64_t m, int64_t n, int64_t k, bool ta, bool tb, int64_t batch, int64_t gap, bool integers, uint32_t seed) {
    s = {.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb, .batch = batch};
    s.lda = cols_a() + gap;
    s.ldb = cols_b() + gap;
    s.ldc = n + gap;
    s.stride_a = rows_a() * s.lda + gap;
    s.stride_b = rows_b() * s.ldb + gap;
    s.stride_c = m * s.ldc + gap;
    std::mt19937 random(seed);
    fill(a, rows_a(), cols_a(), s.lda, s.stride_a, integers, random);
    fill(b, rows_b(), cols_b(), s.ldb, s.stride_b, integers, random);
    fill(bias, 1, n, n, n, integers, random);
    fill(residual, m, n, s.ldc, s.stride_c, integers, random);
  }

  void fill(std::vector<T>& x, int64_t rows, int64_t cols, int64_t ld, int64_t stride, bool integers,
            std::mt19937& random) {
    x.assign(static_cast<size_t>(s.batch * stride), std::numeric_limits<T>::quiet_NaN());
    std::uniform_int_distribution<int> whole(-8, 8);
    std::normal_distribution<double> real;
    for (int64_t n = 0; n < s.batch; ++n)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j)
          x[static_cast<size_t>(n * stride + i * ld + j)] = static_cast<T>(integers ? whole(random) : real(random));
    // The operands end with their last element: reading past it is out of bounds.
    if (rows > 0 && cols > 0) x.resize(static_cast<size_t>((s.batch - 1) * stride + (rows - 1) * ld + cols));
  }

  std::vector<T> output() const {
    return std::vector<T>(static_cast<size_t>(size_c() + 2 * kGuard), std::numeric_limits<T>::quiet_NaN());
  }

  // c with its guards; where `pre` is asked for, too.
  std::vector<T> product(Isa isa, Epilogue epilogue, std::vector<T>* pre = nullptr, bool in_place = false) const {
    std::vector<T> c = output();
    T* const out = c.data() + kGuard;
    if (in_place)
      for (size_t i = 0; i < residual.size(); ++i) out[i] = residual[i];
    if (pre != nullptr) *pre = output();
    run<T>(isa, a.data(), b.data(), has_bias(epilogue) ? bias.data() : nullptr,
           has_residual(epilogue) ? (in_place ? out : residual.data()) : nullptr, out,
           pre == nullptr ? nullptr : pre->data() + kGuard, s, epilogue);
    return c;
  }

  std::vector<T> expected(Epilogue epilogue) const {
    std::vector<T> c = output();
    for (int64_t n = 0; n < s.batch; ++n)
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < s.n; ++j) {
          T x = plain_element(a.data() + n * s.stride_a, b.data() + n * s.stride_b, s, i, j);
          const auto at = static_cast<size_t>(n * s.stride_c + i * s.ldc + j);
          if (has_bias(epilogue)) x = x + bias[static_cast<size_t>(j)];
          if (has_residual(epilogue)) x = x + residual[at];
          c[kGuard + at] = x;
        }
    return c;
  }

  std::string name() const {
    return std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k) + (s.transpose_a ? " t" : " n") +
           (s.transpose_b ? "t" : "n") + " batch " + std::to_string(s.batch) + " lda " + std::to_string(s.lda);
  }
};

template <class T>
bool same_bytes(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

struct Sizes {
  int64_t m, n, k;
};

const Sizes kShapes[] = {{1, 1, 1},    {1, 1, 0},     {3, 5, 0},     {1, 17, 5},    {7, 1, 33},    {2, 16, 16},
                         {14, 32, 16}, {15, 33, 17},  {6, 15, 100},  {29, 47, 64},  {43, 64, 385}, {100, 20, 400},
                         {8, 24, 800}, {50, 197, 64}, {231, 40, 31}, {300, 70, 770}};
const Epilogue kPlainEpilogues[] = {Epilogue::kNone, Epilogue::kBias, Epilogue::kResidual, Epilogue::kBiasResidual};

}  // namespace

TEST_CASE("k blocks depend on k alone and cover it") {
  // K = 769 is three blocks of 272, 272 and 225; 768 two of 384; 1537 five, the first four of 320.
  CHECK(contract::block_length(769) == 272);
  CHECK(contract::block_length(768) == 384);
  CHECK(contract::block_length(1537) == 320);
}

TEST_CASE_TEMPLATE("matmul equals the contract's plain loop bit for bit", T, float, double) {
  for (const Isa isa : isas()) {
    for (const Sizes& size : kShapes) {
      for (int transposes = 0; transposes < 4; ++transposes) {
        for (const int64_t gap : {0, 3}) {
          const Problem<T> problem(size.m, size.n, size.k, transposes & 1, transposes & 2, gap == 0 ? 1 : 3, gap, false,
                                   static_cast<uint32_t>(size.m + size.n));
          INFO(name(isa), " ", problem.name());
          for (const Epilogue e : kPlainEpilogues) {
            INFO("epilogue ", static_cast<int>(e));
            const std::vector<T> expected = problem.expected(e);
            CHECK(same_bytes(problem.product(isa, e), expected));
            if (has_residual(e)) {
              // In place the gaps hold the residual's NaNs, as c's do.
              CHECK(same_bytes(problem.product(isa, e, nullptr, true), expected));
            }
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("bias and GELU: pre is s + bias, c is gelu(pre), bit for bit", T, float, double) {
  for (const Isa isa : isas()) {
    for (const Sizes& size : kShapes) {
      for (const int64_t gap : {0, 3}) {
        const Problem<T> p(size.m, size.n, size.k, false, true, gap == 0 ? 1 : 3, gap, false, 31);
        INFO(name(isa), " ", p.name());
        std::vector<T> pre;
        const std::vector<T> c = p.product(isa, Epilogue::kBiasGelu, &pre);
        CHECK(same_bytes(pre, p.expected(Epilogue::kBias)));
        CHECK(same_bytes(p.product(isa, Epilogue::kBiasGelu), c));
        // Guards and gaps are NaN in pre and in c; compare the elements.
        std::vector<T> activated(pre.size());
        if (isa == Isa::kAvx512)
          avx512::unary_forward<T>({}, Unary::kGeluErf, pre.data(), activated.data(), static_cast<int64_t>(pre.size()));
        else
          avx2::unary_forward<T>({}, Unary::kGeluErf, pre.data(), activated.data(), static_cast<int64_t>(pre.size()));
        bool same = true;
        for (size_t i = 0; i < pre.size(); ++i)
          same = same && (std::isnan(pre[i]) ? std::isnan(c[i]) : std::memcmp(&c[i], &activated[i], sizeof(T)) == 0);
        CHECK(same);
        CHECK(std::memcmp(c.data(), p.output().data(), Problem<T>::kGuard * sizeof(T)) == 0);
      }
    }
  }
}

TEST_CASE_TEMPLATE("matmul is exact on small integers", T, float, double) {
  for (const Isa isa : isas()) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const Problem<T> p(37, 50, 900, transposes & 1, transposes & 2, 2, 1, true, 7);
      const std::vector<T> c = p.product(isa, Epilogue::kNone);
      bool exact = true;
      for (int64_t n = 0; n < p.s.batch; ++n)
        for (int64_t i = 0; i < p.s.m; ++i)
          for (int64_t j = 0; j < p.s.n; ++j) {
            int64_t sum = 0;
            for (int64_t q = 0; q < p.s.k; ++q) {
              const T* a = p.a.data() + n * p.s.stride_a;
              const T* b = p.b.data() + n * p.s.stride_b;
              sum += static_cast<int64_t>(p.s.transpose_a ? a[q * p.s.lda + i] : a[i * p.s.lda + q]) *
                     static_cast<int64_t>(p.s.transpose_b ? b[j * p.s.ldb + q] : b[q * p.s.ldb + j]);
            }
            exact = exact && c[static_cast<size_t>(Problem<T>::kGuard + n * p.s.stride_c + i * p.s.ldc + j)] ==
                                 static_cast<T>(sum);
          }
      CHECK(exact);
    }
  }
}

TEST_CASE("rows that collide in the cache are packed, with the same result") {
  for (const Isa isa : isas()) {
    for (const bool tb : {false, true}) {
      Problem<float> p(61, 70, 512, false, tb, 1, 0, false, 3);
      REQUIRE(p.s.lda == 512);
      CHECK(same_bytes(p.product(isa, Epilogue::kBias), p.expected(Epilogue::kBias)));
    }
  }
}

TEST_CASE("matmul gives the same bytes for any number of threads and on both instruction sets") {
  const Sizes shapes[] = {{197, 192, 576}, {788, 128, 64},  {64, 256, 1184},
                          {5, 1000, 300},  {1000, 10, 300}, {1, 4096, 77}};
  for (const Sizes& size : shapes) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      for (const int64_t batch : {1, 5}) {
        const Problem<float> p(size.m, size.n, size.k, transposes & 1, transposes & 2, batch, 0, false, 11);
        INFO(p.name());
        std::vector<float> expected;
        for (const Isa isa : isas()) {
          for (int threads = 1; threads <= 6; ++threads) {
            const Threads scope(threads);
            const std::vector<float> c = p.product(isa, Epilogue::kBiasResidual);
            if (expected.empty()) expected = c;
            CHECK(same_bytes(c, expected));
          }
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("of two NaNs every row on both instruction sets keeps b's", T, float, double) {
  for (const bool transposed : {false, true}) {
    for (const int64_t n : {20, 150}) {  // a in place, a packed
      Problem<T> p(29, n, 40, transposed, true, 1, 0, true, 5);
      std::fill(p.a.begin(), p.a.end(), std::numeric_limits<T>::quiet_NaN());
      std::fill(p.b.begin(), p.b.end(), std::copysign(std::numeric_limits<T>::quiet_NaN(), T(-1)));
      for (const Isa isa : isas()) {
        INFO(name(isa) << " n " << n << " transposed " << transposed);
        const std::vector<T> c = p.product(isa, Epilogue::kNone);
        const auto first = c.begin() + Problem<T>::kGuard;
        CHECK(std::all_of(first, first + p.size_c(), [](T x) { return std::isnan(x) && std::signbit(x); }));
      }
    }
  }
}

TEST_CASE("a row's bytes do not depend on the rows beside it") {
  for (const Isa isa : isas()) {
    for (const bool tb : {false, true}) {
      const Problem<float> p(300, 96, 500, false, tb, 1, 0, false, 5);
      const std::vector<float> all = p.product(isa, Epilogue::kNone);
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 1}, {17, 30}, {299, 1}, {100, 200}}) {
        MatmulShape s = p.s;
        s.m = count;
        std::vector<float> part(static_cast<size_t>(count * s.ldc));
        run<float>(isa, p.a.data() + first * s.lda, p.b.data(), nullptr, nullptr, part.data(), nullptr, s,
                   Epilogue::kNone);
        CHECK(std::memcmp(part.data(), all.data() + Problem<float>::kGuard + first * s.ldc,
                          part.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("an empty product writes nothing") {
  const Problem<float> p(4, 4, 4, false, false, 1, 0, false, 1);
  for (MatmulShape s : {MatmulShape{.m = 0, .n = 4, .k = 4, .lda = 4, .ldb = 4, .ldc = 4},
                        MatmulShape{.m = 4, .n = 0, .k = 4, .lda = 4, .ldb = 4, .ldc = 4},
                        MatmulShape{.m = 4, .n = 4, .k = 4, .lda = 4, .ldb = 4, .ldc = 4, .batch = 0}}) {
    std::vector<float> c(16, 42.0f);
    for (const Isa isa : isas())
      run<float>(isa, p.a.data(), p.b.data(), nullptr, nullptr, c.data(), nullptr, s, Epilogue::kNone);
    CHECK(std::all_of(c.begin(), c.end(), [](float x) { return x == 42.0f; }));
  }
}

TEST_CASE_TEMPLATE("linear passes are the three products of a layer", T, float, double) {
  const int64_t rows = 45, in = 70, out = 34;
  const Problem<T> y(rows, out, in, false, true, 1, 0, false, 21);    // x wT
  const Problem<T> dx(rows, in, out, false, false, 1, 0, false, 22);  // dy w
  const Problem<T> dw(out, in, rows, true, false, 1, 0, false, 23);   // dyT x
  std::vector<T> c = y.output();
  avx2::linear_forward<T>({}, y.a.data(), y.b.data(), y.bias.data(), y.residual.data(), c.data() + y.kGuard, nullptr,
                          rows, in, out, Epilogue::kBiasResidual);
  CHECK(same_bytes(c, y.expected(Epilogue::kBiasResidual)));
  c = dx.output();
  avx2::linear_backward_input<T>({}, dx.a.data(), dx.b.data(), c.data() + dx.kGuard, rows, in, out);
  CHECK(same_bytes(c, dx.expected(Epilogue::kNone)));
  c = dw.output();
  avx2::linear_backward_weight<T>({}, dw.a.data(), dw.b.data(), c.data() + dw.kGuard, rows, in, out);
  CHECK(same_bytes(c, dw.expected(Epilogue::kNone)));
}

}  // namespace taut
