#include "kernels/reduce.h"

#include "kernels/loops.h"
#include "kernels/math.h"
#include "kernels/sum_groups.h"

namespace taut::TAUT_CPU {
namespace {

constexpr int kGroupSlot = 0;  // 0 and 1: intermediate results of sum_to_shape

template <class T>
void copy(const T* x, T* y, int64_t n) {
  parallel_vectors(n, [&](int64_t i, auto lanes) { lanes.store(y + i, lanes.load(x + i)); });
}

// Smallest and greatest of elements [begin, end), and whether one is NaN.
template <class T>
struct Extremes {
  T low, high;
  bool nan;
};
template <class T>
Extremes<T> extremes(const T* x, int64_t begin, int64_t end) {
  Extremes<T> e = {x[begin], x[begin], false};
  for (int64_t i = begin; i < end; ++i) {
    e.nan |= x[i] != x[i];
    e.low = x[i] < e.low ? x[i] : e.low;
    e.high = x[i] > e.high ? x[i] : e.high;
  }
  return e;
}

// a comes before b as a maximum: greater, or the first NaN.
template <class T>
TAUT_INLINE bool beats(T a, T b) {
  return a > b || (a != a && b == b);
}

}  // namespace

template <class T>
void sum_all(Stream, const T* x, T* y, int64_t n) {
  *y = whole_sum<T>(n, [&](int64_t i, int64_t count) { return load_n(x + i, count); });
}

template <class T>
void sum_rows(Stream, const T* x, T* y, int64_t rows, int64_t cols) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * cols;
      y[r] = row_sum<T>(cols, [&](int64_t i, int64_t count) { return load_n(row + i, count); });
    }
  });
}

template <class T>
void sum_columns(Stream, const T* x, T* y, int64_t rows, int64_t cols) {
  column_sums<T, 1>({y}, rows, cols,
                    [&](int64_t r, int64_t j, auto lanes, Vec<T>(&t)[1]) { t[0] = lanes.load(x + r * cols + j); });
}

template <class T>
void sum_dim(Stream stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (inner == 1) return sum_rows(stream, x, y, outer, n);
  // Each is a loop on all threads unless it is small; then the outer loop takes them (nested loops run on one thread).
  const int64_t grain = n * inner >= 4 * kGrain ? outer : rows_grain(n * inner);
  parallel_for(outer, grain < 1 ? 1 : grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) sum_columns(stream, x + o * n * inner, y + o * inner, n, inner);
  });
}

template <class T>
void sum_to_shape(Stream stream, const T* x, T* y, const SumShape& shape) {
  SumGroups groups(shape);
  if (groups.count == 1 && groups.summed[0]) return sum_all(stream, x, y, groups.size[0]);
  int left = groups.summed_groups();
  if (left == 0) return copy(x, y, groups.product(0, groups.count));
  for (; left > 0; --left) {
    const int g = groups.last_summed();
    const int64_t outer = groups.product(0, g), n = groups.size[g], inner = groups.product(g + 1, groups.count);
    T* to = y;
    if (left > 1) {
      to = static_cast<T*>(thread_scratch(kGroupSlot + left % 2, static_cast<size_t>(outer * inner) * sizeof(T)));
    }
    sum_dim(stream, x, to, outer, n, inner);
    groups.remove(g);
    x = to;
  }
}

template <class T>
void max_dim(Stream, const T* x, T* y, int64_t* index, int64_t outer, int64_t n, int64_t inner) {
  parallel_for(outer, rows_grain(n * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t j = 0; j < inner; ++j) {
        const T* column = x + o * n * inner + j;
        int64_t best = 0;
        for (int64_t i = 1; i < n; ++i) {
          if (beats(column[i * inner], column[best * inner])) best = i;
        }
        y[o * inner + j] = column[best * inner];
        if (index != nullptr) index[o * inner + j] = best;
      }
    }
  });
}

template <class T>
void expand_dim(Stream, T scale, const T* dy, T* dx, int64_t outer, int64_t n, int64_t inner) {
  parallel_for(outer, rows_grain(n * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      if (inner == 1) {
        const Vec<T> value = broadcast(scale * dy[o]);
        for_vectors(0, n, [&](int64_t i, auto lanes) { lanes.store(dx + o * n + i, value); });
        continue;
      }
      for (int64_t i = 0; i < n; ++i) {
        for_vectors(0, inner, [&](int64_t j, auto lanes) {
          lanes.store(dx + (o * n + i) * inner + j, broadcast(scale) * lanes.load(dy + o * inner + j));
        });
      }
    }
  });
}

template <class T>
void sum_of_squares(Stream, const T* const* buffers, const int64_t* sizes, int64_t count, T* y) {
  T* sums = static_cast<T*>(thread_scratch(kGroupSlot, static_cast<size_t>(count) * sizeof(T)));
  for (int64_t b = 0; b < count; ++b) {
    const T* x = buffers[b];
    sums[b] = whole_sum<T>(sizes[b], [&](int64_t i, int64_t lanes) {
      const Vec<T> v = load_n(x + i, lanes);
      return v * v;
    });
  }
  *y = whole_sum<T>(count, [&](int64_t i, int64_t lanes) { return load_n(sums + i, lanes); });
}

template <class T>
void count_nonfinite(Stream, const T* x, int64_t n, int64_t* found) {
  const int64_t chunks = (n + kGrain - 1) / kGrain;
  int64_t* counts = static_cast<int64_t*>(thread_scratch(kListSlot, static_cast<size_t>(chunks) * sizeof(int64_t)));
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      int64_t count = 0;
      for_vectors(c * kGrain, (c + 1) * kGrain < n ? (c + 1) * kGrain : n, [&](int64_t i, auto lanes) {
        const Vec<T> v = lanes.load(x + i);
        if (!any(is_nan(v - v))) return;  // inf - inf and NaN - NaN
        for (int64_t k = i; k < i + lanes.count; ++k) count += x[k] - x[k] != 0;
      });
      counts[c] = count;
    }
  });
  *found = 0;
  for (int64_t c = 0; c < chunks; ++c) *found += counts[c];
}

template <class T>
void min_max(Stream, const T* x, T* low, T* high, int64_t n) {
  const int64_t chunks = (n + kGrain - 1) / kGrain;
  auto* parts = static_cast<Extremes<T>*>(thread_scratch(kListSlot, static_cast<size_t>(chunks) * sizeof(Extremes<T>)));
  parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      parts[c] = extremes(x, c * kGrain, (c + 1) * kGrain < n ? (c + 1) * kGrain : n);
    }
  });
  Extremes<T> e = parts[0];
  for (int64_t c = 1; c < chunks; ++c) {
    e.nan |= parts[c].nan;
    e.low = parts[c].low < e.low ? parts[c].low : e.low;
    e.high = parts[c].high > e.high ? parts[c].high : e.high;
  }
  const T nan = static_cast<T>(__builtin_nan(""));
  *low = e.nan ? nan : e.low;
  *high = e.nan ? nan : e.high;
}

TAUT_INSTANTIATE_REDUCE(float)
TAUT_INSTANTIATE_REDUCE(double)

}  // namespace taut::TAUT_CPU
