// PHM on the CPU (kernels/phm.h): threads take chunks of 32 rows, the contract's unit of column sums; x and dy are read
// once from memory and everything else of a chunk (u, v, gt, gu: n n rank values a row) stays in L1, rows innermost, so
// that the small products with the rule run on whole vectors.
#include "kernels/phm.h"

#include "kernels/parallel.h"
#include "kernels/simd.h"

namespace taut::TAUT_CPU {
namespace {

constexpr int64_t kChunk = 32, kPartials = 64;
static_assert(kChunk == 2 * kLanes);

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t whole_vectors(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

template <class T>
TAUT_INLINE Vec<T> load_lanes(const T* p, int64_t count) {
  return count >= kLanes ? load(p) : load_partial(p, count);
}

// Coefficients (u, v, gt, gu) lie as [a or b][i,r][row]: for one a, the pair (i,r) is one index of n rank "factors",
// the rows of s and t.

// coefficients[a,f][row] = row sum over p of x[row,a,p] factor[f,p]; x (rows, n, width), factor (factors, width). Rows
// that do not exist get zeros.
template <class T>
void dots(const PhmShape& s, const T* x, int64_t rows, int64_t width, const T* factor, T* coefficients) {
  const int64_t factors = s.n * s.rank;
  if (rows < kChunk) __builtin_memset(coefficients, 0, sizeof(T) * static_cast<size_t>(s.n * factors * kChunk));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t a = 0; a < s.n; ++a) {
      const T* const part = x + (row * s.n + a) * width;
      T* const to = coefficients + a * factors * kChunk + row;
      for (int64_t f = 0; f < factors; ++f) {
        to[f * kChunk] = row_sum<T>(
            width, [&](int64_t p, int64_t count) __attribute__((always_inline)) {
              return load_lanes(part + p, count) * load_lanes(factor + f * width + p, count);
            });
      }
    }
  }
}

// to[b,i,r] = sum_a rule[i,a,b] from[a,i,r], or with the rule transposed: to[a,i,r] = sum_b rule[i,a,b] from[b,i,r].
template <class T>
void mix(const PhmShape& s, const T* rule, bool transposed, const T* from, T* to) {
  const int64_t factors = s.n * s.rank;
  for (int64_t b = 0; b < s.n; ++b) {
    for (int64_t f = 0; f < factors; ++f) {
      const T* const part = rule + f / s.rank * s.n * s.n;
      Vec<T> sum[2] = {broadcast(T(0)), broadcast(T(0))};
      for (int64_t a = 0; a < s.n; ++a) {
        const Vec<T> weight = broadcast(transposed ? part[b * s.n + a] : part[a * s.n + b]);
        const T* const source = from + (a * factors + f) * kChunk;
        for (int64_t l = 0; l < 2; ++l) sum[l] = fma(weight, load(source + l * kLanes), sum[l]);
      }
      for (int64_t l = 0; l < 2; ++l) store(to + (b * factors + f) * kChunk + l * kLanes, sum[l]);
    }
  }
}

// One stretch of combine: kVectors whole vectors of y, or the last `count` lanes of a row.
template <int kVectors, class T>
TAUT_INLINE void combine_part(int64_t factors, const T* coefficients, const T* factor, int64_t width, const T* bias,
                              T* y, int64_t count) {
  Vec<T> sum[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) sum[j] = broadcast(T(0));
  for (int64_t f = 0; f < factors; ++f) {
    const Vec<T> c = broadcast(coefficients[f * kChunk]);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sum[j] = fma(c, load_lanes(factor + f * width + j * kLanes, count), sum[j]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    if (bias != nullptr) sum[j] = sum[j] + load_lanes(bias + j * kLanes, count);
    if (count >= kLanes)
      store(y + j * kLanes, sum[j]);
    else
      store_partial(y + j * kLanes, sum[j], count);
  }
}

// y[row,b,q] = sum_f coefficients[b,f][row] factor[f,q] (+ bias[b,q]); y (rows, n, width).
template <class T>
void combine(const PhmShape& s, const T* coefficients, const T* factor, const T* bias, T* y, int64_t rows,
             int64_t width) {
  const int64_t factors = s.n * s.rank;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t b = 0; b < s.n; ++b) {
      const T* const c = coefficients + b * factors * kChunk + row;
      const T* const bias_b = bias == nullptr ? nullptr : bias + b * width;
      T* const to = y + (row * s.n + b) * width;
      const auto bias_at = [&](int64_t q) { return bias_b == nullptr ? nullptr : bias_b + q; };
      int64_t q = 0;
      for (; q + 4 * kLanes <= width; q += 4 * kLanes)
        combine_part<4>(factors, c, factor + q, width, bias_at(q), to + q, kLanes);
      for (; q < width; q += kLanes) combine_part<1>(factors, c, factor + q, width, bias_at(q), to + q, width - q);
    }
  }
}

// sums[f,q] += the chunk's sum over (row, b) of g[row,b,q] coefficients[b,f][row], for kMany consecutive f from `first`
// on; rows of sums are whole vectors.
template <int kMany, class T>
void add_outer(const PhmShape& s, const T* g, const T* coefficients, int64_t rows, int64_t width, int64_t first,
               T* sums) {
  const int64_t ld = whole_vectors(width), factors = s.n * s.rank;
  for (int64_t q = 0; q < width; q += kLanes) {
    Vec<T> chain[kMany];
#pragma GCC unroll 4
    for (int m = 0; m < kMany; ++m) chain[m] = broadcast(T(0));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t b = 0; b < s.n; ++b) {
        const Vec<T> value = load_lanes(g + (row * s.n + b) * width + q, width - q);
        const T* const from = coefficients + (b * factors + first) * kChunk + row;
#pragma GCC unroll 4
        for (int m = 0; m < kMany; ++m) chain[m] = fma(broadcast(from[m * kChunk]), value, chain[m]);
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < kMany; ++m) {
      T* const to = sums + (first + m) * ld + q;
      store(to, load(to) + chain[m]);
    }
  }
}

template <class T>
void add_outers(const PhmShape& s, const T* g, const T* coefficients, int64_t rows, int64_t width, T* sums) {
  int64_t first = 0;
  for (; first + 4 <= s.n * s.rank; first += 4) add_outer<4>(s, g, coefficients, rows, width, first, sums);
  for (; first < s.n * s.rank; ++first) add_outer<1>(s, g, coefficients, rows, width, first, sums);
}

// sums[i,a,b] += the chunk's sum over rows and r of u[a,i,r] gt[b,i,r].
template <class T>
void add_rule(const PhmShape& s, const T* u, const T* gt, T* sums) {
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t a = 0; a < s.n; ++a) {
      for (int64_t b = 0; b < s.n; ++b) {
        RowSum<T> sum;
        for (int64_t r = 0; r < s.rank; ++r) {
          const T* const left = u + ((a * s.n + i) * s.rank + r) * kChunk;
          const T* const right = gt + ((b * s.n + i) * s.rank + r) * kChunk;
          for (int64_t l = 0; l < 2; ++l) sum.p[l] = fma(load(left + l * kLanes), load(right + l * kLanes), sum.p[l]);
        }
        sums[(i * s.n + a) * s.n + b] += sum.fold();
      }
    }
  }
}

// to (n, rank, width) = left (n, width, rank).
template <class T>
void transpose_left(const PhmShape& s, const T* left, T* to) {
  const int64_t width = s.in / s.n;
  for (int64_t i = 0; i < s.n; ++i)
    for (int64_t r = 0; r < s.rank; ++r)
      for (int64_t p = 0; p < width; ++p) to[(i * s.rank + r) * width + p] = left[(i * width + p) * s.rank + r];
}

template <class T>
T* scratch(int slot, int64_t elements) {
  return static_cast<T*>(thread_scratch(slot, sizeof(T) * static_cast<size_t>(elements)));
}

}  // namespace

template <class T>
void phm_forward(Stream, const T* x, const T* rule, const T* left, const T* right, const T* bias, T* y,
                 const PhmShape& s) {
  const int64_t chunks = (s.rows + kChunk - 1) / kChunk, values = s.n * s.n * s.rank * kChunk;
  T* const left_t = scratch<T>(2, s.rank * s.in);
  transpose_left(s, left, left_t);
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    T* const u = scratch<T>(3, 2 * values);
    T* const v = u + values;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t row = chunk * kChunk, rows = smaller(kChunk, s.rows - row);
      dots(s, x + row * s.in, rows, s.in / s.n, left_t, u);
      mix(s, rule, false, u, v);
      combine(s, v, right, bias, y + row * s.out, rows, s.out / s.n);
    }
  });
}

template <class T>
void phm_backward(Stream, const T* dy, const T* x, const T* rule, const T* left, const T* right, T* dx, T* drule,
                  T* dleft, T* dright, const PhmShape& s) {
  const int64_t chunks = (s.rows + kChunk - 1) / kChunk, values = s.n * s.n * s.rank * kChunk;
  const int64_t width_in = s.in / s.n, width_out = s.out / s.n, factors = s.n * s.rank;
  const bool weights = drule != nullptr || dleft != nullptr || dright != nullptr;
  const bool want_gu = dx != nullptr || dleft != nullptr;
  // Partial sum k holds chunks k, k + 64, ...; one thread adds them in order. At least one, for the zeros of no rows.
  const int64_t partials = smaller(chunks < 1 ? 1 : chunks, kPartials);
  const int64_t rule_at = whole_vectors(s.n * s.n * s.n), left_at = rule_at + factors * whole_vectors(width_in);
  const int64_t partial_size = left_at + factors * whole_vectors(width_out);
  T* const left_t = scratch<T>(2, whole_vectors(s.rank * s.in) + (weights ? partials * partial_size : 0));
  T* const sums = left_t + whole_vectors(s.rank * s.in);
  transpose_left(s, left, left_t);

  parallel_for(weights ? partials : chunks, 1, [&](int64_t begin, int64_t end) {
    T* const u = scratch<T>(3, 4 * values);
    T *const v = u + values, *const gt = v + values, *const gu = gt + values;
    for (int64_t first = begin; first < end; ++first) {
      T* const mine = sums + first * partial_size;
      if (weights) __builtin_memset(mine, 0, sizeof(T) * static_cast<size_t>(partial_size));
      for (int64_t chunk = first; chunk < chunks; chunk += weights ? kPartials : chunks) {
        const int64_t row = chunk * kChunk, rows = smaller(kChunk, s.rows - row);
        const T* const g = dy + row * s.out;
        if (want_gu || drule != nullptr) dots(s, g, rows, width_out, right, gt);
        if (want_gu) mix(s, rule, true, gt, gu);
        if (dx != nullptr) combine(s, gu, left_t, static_cast<const T*>(nullptr), dx + row * s.in, rows, width_in);
        if (!weights) continue;
        if (drule != nullptr || dright != nullptr) dots(s, x + row * s.in, rows, width_in, left_t, u);
        if (drule != nullptr) add_rule(s, u, gt, mine);
        if (dleft != nullptr) add_outers(s, x + row * s.in, gu, rows, width_in, mine + rule_at);
        if (dright != nullptr) {
          mix(s, rule, false, u, v);
          add_outers(s, g, v, rows, width_out, mine + left_at);
        }
      }
    }
  });
  if (!weights) return;

  // Partial sums that no chunk reached are +0 and change nothing, so they are left out.
  for (int64_t half = kPartials / 2; half >= 1; half /= 2)
    for (int64_t k = 0; k < half && k + half < partials; ++k)
      for (int64_t e = 0; e < partial_size; e += kLanes) {
        T* const to = sums + k * partial_size + e;
        store(to, load(to) + load(to + half * partial_size));
      }
  if (drule != nullptr) __builtin_memcpy(drule, sums, sizeof(T) * static_cast<size_t>(s.n * s.n * s.n));
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t r = 0; r < s.rank; ++r) {
      const int64_t f = i * s.rank + r;
      if (dleft != nullptr)
        for (int64_t p = 0; p < width_in; ++p)
          dleft[(i * width_in + p) * s.rank + r] = sums[rule_at + f * whole_vectors(width_in) + p];
      if (dright != nullptr)
        __builtin_memcpy(dright + f * width_out, sums + left_at + f * whole_vectors(width_out),
                         sizeof(T) * static_cast<size_t>(width_out));
    }
  }
}

TAUT_INSTANTIATE_PHM(float)
TAUT_INSTANTIATE_PHM(double)

}  // namespace taut::TAUT_CPU
