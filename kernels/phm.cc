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

// coefficients[i,a,r][row] = row sum over p of x[row,a,p] factor[i,r,p]; x (rows, n, width), factor (n, rank, width).
// Rows that do not exist get zeros.
template <class T>
void dots(const PhmShape& s, const T* x, int64_t rows, int64_t width, const T* factor, T* coefficients) {
  for (int64_t row = 0; row < kChunk; ++row) {
    for (int64_t i = 0; i < s.n; ++i) {
      for (int64_t a = 0; a < s.n; ++a) {
        for (int64_t r = 0; r < s.rank; ++r) {
          T* const to = coefficients + ((i * s.n + a) * s.rank + r) * kChunk + row;
          if (row >= rows) {
            *to = T(0);
            continue;
          }
          const T* const part = x + (row * s.n + a) * width;
          const T* const f = factor + (i * s.rank + r) * width;
          *to = row_sum<T>(
              width, [&](int64_t p, int64_t count) __attribute__((always_inline)) {
                return load_lanes(part + p, count) * load_lanes(f + p, count);
              });
        }
      }
    }
  }
}

// to[i,b,r] = sum_a rule[i,a,b] from[i,a,r], or with the rule transposed: to[i,a,r] = sum_b rule[i,a,b] from[i,b,r].
template <class T>
void mix(const PhmShape& s, const T* rule, bool transposed, const T* from, T* to) {
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t b = 0; b < s.n; ++b) {
      for (int64_t r = 0; r < s.rank; ++r) {
        Vec<T> sum[2] = {broadcast(T(0)), broadcast(T(0))};
        for (int64_t a = 0; a < s.n; ++a) {
          const Vec<T> factor = broadcast(rule[(i * s.n + (transposed ? b : a)) * s.n + (transposed ? a : b)]);
          const T* const source = from + ((i * s.n + a) * s.rank + r) * kChunk;
          for (int64_t l = 0; l < 2; ++l) sum[l] = fma(factor, load(source + l * kLanes), sum[l]);
        }
        for (int64_t l = 0; l < 2; ++l) store(to + ((i * s.n + b) * s.rank + r) * kChunk + l * kLanes, sum[l]);
      }
    }
  }
}

// y[row,b,q] = sum_{i,r} coefficients[i,b,r][row] factor[i,r,q] (+ bias[b,q]); y (rows, n, width).
template <class T>
void combine(const PhmShape& s, const T* coefficients, const T* factor, const T* bias, T* y, int64_t rows,
             int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t b = 0; b < s.n; ++b) {
      T* const to = y + (row * s.n + b) * width;
      for (int64_t q = 0; q < width; q += kLanes) {
        const int64_t count = width - q;
        Vec<T> sum = broadcast(T(0));
        for (int64_t i = 0; i < s.n; ++i)
          for (int64_t r = 0; r < s.rank; ++r)
            sum = fma(broadcast(coefficients[((i * s.n + b) * s.rank + r) * kChunk + row]),
                      load_lanes(factor + (i * s.rank + r) * width + q, count), sum);
        if (bias != nullptr) sum = sum + load_lanes(bias + b * width + q, count);
        if (count >= kLanes)
          store(to + q, sum);
        else
          store_partial(to + q, sum, count);
      }
    }
  }
}

// sums[i,r,q] += the chunk's sum over (row, b) of g[row,b,q] coefficients[i,b,r][row], for kMany consecutive (i,r) from
// `first` on; rows of sums are whole vectors.
template <int kMany, class T>
void add_outer(const PhmShape& s, const T* g, const T* coefficients, int64_t rows, int64_t width, int64_t first,
               T* sums) {
  const T* from[kMany];
  for (int m = 0; m < kMany; ++m) {
    const int64_t i = (first + m) / s.rank, r = (first + m) % s.rank;
    from[m] = coefficients + (i * s.n * s.rank + r) * kChunk;
  }
  const int64_t ld = whole_vectors(width);
  for (int64_t q = 0; q < width; q += kLanes) {
    Vec<T> chain[kMany];
#pragma GCC unroll 4
    for (int m = 0; m < kMany; ++m) chain[m] = broadcast(T(0));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t b = 0; b < s.n; ++b) {
        const Vec<T> value = load_lanes(g + (row * s.n + b) * width + q, width - q);
#pragma GCC unroll 4
        for (int m = 0; m < kMany; ++m) chain[m] = fma(broadcast(from[m][b * s.rank * kChunk + row]), value, chain[m]);
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

// sums[i,a,b] += the chunk's sum over rows and r of u[i,a,r] gt[i,b,r].
template <class T>
void add_rule(const PhmShape& s, const T* u, const T* gt, T* sums) {
  for (int64_t i = 0; i < s.n; ++i) {
    for (int64_t a = 0; a < s.n; ++a) {
      for (int64_t b = 0; b < s.n; ++b) {
        RowSum<T> sum;
        for (int64_t r = 0; r < s.rank; ++r) {
          const T* const left = u + ((i * s.n + a) * s.rank + r) * kChunk;
          const T* const right = gt + ((i * s.n + b) * s.rank + r) * kChunk;
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

#define TAUT_INSTANTIATE(T)                                                                                    \
  template void phm_forward<T>(Stream, const T*, const T*, const T*, const T*, const T*, T*, const PhmShape&); \
  template void phm_backward<T>(Stream, const T*, const T*, const T*, const T*, const T*, T*, T*, T*, T*,      \
                                const PhmShape&);
TAUT_INSTANTIATE(float)
TAUT_INSTANTIATE(double)

}  // namespace taut::TAUT_CPU
