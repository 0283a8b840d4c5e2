// Loops that the CPU kernels share: over the vectors of an array, and the contract's sums of rows, of columns and of
// whole tensors (orders: kernels/reduce.h). Only for files that are compiled once per instruction set.
#pragma once

#include "kernels/parallel.h"
#include "kernels/simd.h"

namespace taut::TAUT_CPU {

// Scratch slots (kernels/parallel.h) that the sums below use; a kernel that calls them keeps to the other two.
constexpr int kColumnSlot = 2, kListSlot = 3;

// Elements of a cheap loop that are worth handing to a thread.
constexpr int64_t kGrain = 16384;

// Rows of a loop over rows that are worth handing to a thread.
TAUT_INLINE int64_t rows_grain(int64_t cols) { return cols >= kGrain ? 1 : kGrain / (cols < 1 ? 1 : cols); }

// A whole vector, and the part of one at the end of an array: two types, so that the loop over whole vectors has no
// masks.
struct FullVector {
  static constexpr int64_t count = kLanes;
  template <class T>
  TAUT_INLINE static Vec<T> load(const T* p) {
    return TAUT_CPU::load(p);
  }
  template <class T>
  TAUT_INLINE static void store(T* p, Vec<T> v) {
    TAUT_CPU::store(p, v);
  }
};
struct PartVector {
  int64_t count;  // 1 .. 15; lanes beyond load as zero
  template <class T>
  TAUT_INLINE Vec<T> load(const T* p) const {
    return load_partial(p, count);
  }
  template <class T>
  TAUT_INLINE void store(T* p, Vec<T> v) const {
    store_partial(p, v, count);
  }
};

// body(i, lanes) for i = begin, begin + 16, ...; lanes is a FullVector or, at the end, a PartVector.
template <class Body>
TAUT_INLINE void for_vectors(int64_t begin, int64_t end, Body&& body) {
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) body(i, FullVector{});
  if (i < end) body(i, PartVector{end - i});
}

// The same over [0, n) on all threads.
template <class Body>
inline void parallel_vectors(int64_t n, Body&& body) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) { for_vectors(begin, end, body); });
}

// load and store of 1 to 16 lanes; a masked store of a whole vector would be many times slower than a plain one.
template <class T>
TAUT_INLINE Vec<T> load_n(const T* p, int64_t n) {
  return n == kLanes ? load(p) : load_partial(p, n);
}
template <class T>
TAUT_INLINE void store_n(T* p, Vec<T> v, int64_t n) {
  n == kLanes ? store(p, v) : store_partial(p, v, n);
}

// v with the lanes from n on replaced by `rest`.
template <class T>
TAUT_INLINE Vec<T> first_lanes(Vec<T> v, int64_t n, T rest) {
  if (n == kLanes) return v;
  alignas(64) T lanes[kLanes];
  store(lanes, broadcast(rest));
  store_partial(lanes, v, n);
  return load(lanes);
}

// Two row sums in one pass: term(i, count, a, b) gives the two vectors of terms.
template <class T, class Term>
TAUT_INLINE void row_sum_pair(int64_t n, T& sum_a, T& sum_b, Term&& term) {
  RowSum<T> a, b;
  Vec<T> ta, tb;
  for (int64_t i = 0; i < n;) {
    for (int j = 0; j < 4 && i < n; ++j, i += kLanes) {
      term(i, n - i < kLanes ? n - i : kLanes, ta, tb);
      a.p[j] = a.p[j] + ta;
      b.p[j] = b.p[j] + tb;
    }
  }
  sum_a = a.fold();
  sum_b = b.fold();
}

// Greatest element of a row of n >= 1; what it gives for a row with a NaN is unspecified (a sum over the row will be
// NaN).
template <class T>
TAUT_INLINE T row_max(const T* x, int64_t n) {
  alignas(64) T lanes[kLanes];
  int64_t count = n;
  if (n >= kLanes) {
    Vec<T> m = load(x);
    for (int64_t i = kLanes; i + kLanes <= n; i += kLanes) m = max(m, load(x + i));
    store(lanes, max(m, load(x + n - kLanes)));
    count = kLanes;
  } else {
    store_partial(lanes, load_partial(x, n), n);
  }
  T m = lanes[0];
  for (int64_t i = 1; i < count; ++i) m = m < lanes[i] ? lanes[i] : m;
  return m;
}

// Whole sum over i < n of term(i, count), the terms of elements i .. i + count - 1 (+0 in the other lanes).
template <class T, class Term>
T whole_sum(int64_t n, Term&& term) {
  constexpr int64_t kChunk = 4096;
  if (n <= kChunk) return row_sum<T>(n, term);
  int64_t count = (n + kChunk - 1) / kChunk;
  T* list = static_cast<T*>(thread_scratch(kListSlot, static_cast<size_t>(count) * sizeof(T)));
  parallel_for(count, 4, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t first = c * kChunk, length = n - first < kChunk ? n - first : kChunk;
      list[c] = row_sum<T>(length, [&](int64_t i, int64_t lanes) { return term(first + i, lanes); });
    }
  });
  while (count > 1) {
    const int64_t next = (count + kChunk - 1) / kChunk;
    for (int64_t c = 0; c < next; ++c) {
      const T* part = list + c * kChunk;
      const int64_t length = count - c * kChunk < kChunk ? count - c * kChunk : kChunk;
      list[c] = row_sum<T>(length, [&](int64_t i, int64_t lanes) { return load_n(part + i, lanes); });
    }
    count = next;
  }
  return list[0];
}

constexpr int64_t kChunkRows = 32, kColumnPartials = 64;

// The sum of `chunks` chunk sums of one vector of columns, chunk(c) in order: chunk c goes to partial c mod 64, the
// partials are folded by halving. Partials that no chunk reaches are zeros whose addition changes nothing: they are
// skipped.
template <class T, class Chunk>
TAUT_INLINE Vec<T> fold_chunks(int64_t chunks, Chunk&& chunk) {
  if (chunks == 1) return chunk(0);
  Vec<T> partial[kColumnPartials];
  int64_t used = chunks < kColumnPartials ? chunks : kColumnPartials;
  for (int64_t c = 0; c < used; ++c) partial[c] = chunk(c);
  for (int64_t c = used; c < chunks; ++c) partial[c % kColumnPartials] = partial[c % kColumnPartials] + chunk(c);
  for (int64_t h = kColumnPartials / 2; h >= 1; h /= 2) {
    if (h >= used) continue;
    for (int64_t i = 0; i + h < used; ++i) partial[i] = partial[i] + partial[i + h];
    used = h;
  }
  return partial[0];
}

// `outputs` column sums over the same rows: y[k] (cols) = sum over rows of t[k], term(row, j, lanes, t) filling t with
// the vectors of terms of columns j .. of that row; it is called once for each (row, vector) and may store on the way.
// A null y[k] is skipped.
template <class T, int outputs, class Term>
void column_sums(T* const (&y)[outputs], int64_t rows, int64_t cols, Term&& term) {
  const int64_t chunks = rows > kChunkRows ? (rows + kChunkRows - 1) / kChunkRows : 1;
  T* list = nullptr;  // (chunks, outputs, cols)
  if (chunks > 1)
    list = static_cast<T*>(thread_scratch(kColumnSlot, static_cast<size_t>(chunks * outputs * cols) * sizeof(T)));
  // A task is a chunk of rows by a block of columns. It goes row by row with the sums in the nearest cache: memory is
  // read in order, as the prefetcher expects it.
  constexpr int64_t kBlock = 512;
  const int64_t blocks = (cols + kBlock - 1) / kBlock,
                grain = rows_grain(kBlock * (rows < kChunkRows ? rows : kChunkRows));
  parallel_for(chunks * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t c = task / blocks, left = task % blocks * kBlock;
      const int64_t right = left + kBlock < cols ? left + kBlock : cols;
      const int64_t top = c * kChunkRows, bottom = top + kChunkRows < rows ? top + kChunkRows : rows;
      alignas(64) T sums[outputs][kBlock] = {};
      for (int64_t row = top; row < bottom; ++row) {
        for_vectors(left, right, [&](int64_t j, auto lanes) {
          Vec<T> t[outputs];
          term(row, j, lanes, t);
          for (int k = 0; k < outputs; ++k) store(sums[k] + j - left, load(sums[k] + j - left) + t[k]);
        });
      }
      for (int k = 0; k < outputs; ++k) {
        if (y[k] == nullptr) continue;
        T* to = chunks > 1 ? list + (c * outputs + k) * cols : y[k];
        for_vectors(left, right, [&](int64_t j, auto lanes) { lanes.store(to + j, load(sums[k] + j - left)); });
      }
    }
  });
  if (chunks == 1) return;
  parallel_for(cols, rows_grain(chunks) / kLanes * kLanes + kLanes, [&](int64_t begin, int64_t end) {
    for (int k = 0; k < outputs; ++k) {
      if (y[k] == nullptr) continue;
      for_vectors(begin, end, [&](int64_t j, auto lanes) {
        lanes.store(y[k] + j,
                    fold_chunks<T>(chunks, [&](int64_t c) { return lanes.load(list + (c * outputs + k) * cols + j); }));
      });
    }
  });
}

}  // namespace taut::TAUT_CPU
