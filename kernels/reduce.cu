// Sums in the contract's orders (kernels/sums.cuh: a warp a row or a chunk, a thread a column), maxima a thread each.
#include "kernels/reduce.h"

#include <vector>

#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/device_memory.h"
#include "kernels/sum_groups.h"
#include "kernels/sums.cuh"
#include "kernels/tensor_table.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void sum_rows_kernel(const T* x, T* y, int64_t rows, int64_t cols) {
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T sum = row_sum<T>(cols, [&](int64_t i) { return x[row * cols + i]; });
    if (lane() == 0) y[row] = sum;
  }
}

// a comes before b as a maximum: greater, or the first NaN.
template <class T>
__device__ bool beats(T a, T b) {
  return a > b || (a != a && b == b);
}

template <class T>
__global__ void max_dim_kernel(const T* x, T* y, int64_t* index, int64_t outer, int64_t n, int64_t inner) {
  for (int64_t at = thread_in_grid(); at < outer * inner; at += threads_in_grid()) {
    const T* column = x + at / inner * n * inner + at % inner;
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i)
      if (beats(column[i * inner], column[best * inner])) best = i;
    y[at] = column[best * inner];
    if (index != nullptr) index[at] = best;
  }
}

template <class T>
__global__ void expand_dim_kernel(T scale, const T* dy, T* dx, int64_t count, int64_t n, int64_t inner) {
  for (int64_t at = thread_in_grid(); at < count; at += threads_in_grid())
    dx[at] = scale * dy[at / (n * inner) * inner + at % inner];
}

// One of the lists that are summed at once; its chunk sums go to `to`.
template <class T>
struct SumList {
  const T* x;
  int64_t n;
  T* to;
};

// A warp a chunk of a list, of its squares or of its elements.
template <class T, bool squares>
__global__ void table_chunk_sums_kernel(TensorTable<SumList<T>> table) {
  for (int64_t c = warp_in_grid(); c < table.pieces; c += warps_in_grid()) {
    const int which = table.of(c);
    const SumList<T>& list = table.entry[which];
    const int64_t chunk = c - table.first[which], first = chunk * kSumChunk;
    const int64_t length = list.n - first < kSumChunk ? list.n - first : kSumChunk;
    const T* const x = list.x + first;
    const T sum = row_sum<T>(length, [&](int64_t i) { return squares ? x[i] * x[i] : x[i]; });
    if (lane() == 0) list.to[chunk] = sum;
  }
}

template <class T>
__global__ void copy_kernel(const T* x, T* y, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) y[i] = x[i];
}

template <class T>
__global__ void count_nonfinite_kernel(const T* x, int64_t n, unsigned long long* found) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid())
    if (x[i] - x[i] != 0) atomicAdd(found, 1ull);  // inf - inf and NaN - NaN; an integer, so the order is nothing
}

// Smallest and greatest of what a thread sees, and 1 where one is NaN: three numbers, no byte of which nobody writes.
template <class T>
struct Extremes {
  T low, high, nan;
};
constexpr int64_t kMostExtremes = 4096;

template <class T>
__global__ void extremes_kernel(const T* x, int64_t n, Extremes<T>* parts) {
  const int64_t t = thread_in_grid();
  if (t >= n) return;
  Extremes<T> e{x[t], x[t], 0};
  for (int64_t i = t; i < n; i += threads_in_grid()) {
    e.nan = x[i] != x[i] ? T(1) : e.nan;
    e.low = x[i] < e.low ? x[i] : e.low;
    e.high = x[i] > e.high ? x[i] : e.high;
  }
  parts[t] = e;
}

}  // namespace

template <class T>
void sum_all(Stream stream, const T* x, T* y, int64_t n) {
  whole_sums(stream, y, 1, n, ListTerm<T>{x, n});
}

template <class T>
void sum_rows(Stream stream, const T* x, T* y, int64_t rows, int64_t cols) {
  launch(sum_rows_kernel<T>, grid_of_warps(rows, kThreads), kThreads, 0, stream, x, y, rows, cols);
}

template <class T>
void sum_columns(Stream stream, const T* x, T* y, int64_t rows, int64_t cols) {
  stored_column_sums<T, 1>(stream, {y}, rows, cols, ColumnTerm<T>{x, cols});
}

template <class T>
void sum_dim(Stream stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (inner == 1) return sum_rows(stream, x, y, outer, n);
  for (int64_t o = 0; o < outer; ++o) sum_columns(stream, x + o * n * inner, y + o * inner, n, inner);
}

template <class T>
void sum_to_shape(Stream stream, const T* x, T* y, const SumShape& shape) {
  SumGroups groups(shape);
  if (groups.count == 1 && groups.summed[0]) return sum_all(stream, x, y, groups.size[0]);
  int left = groups.summed_groups();
  if (left == 0) {
    const int64_t n = groups.product(0, groups.count);
    return launch(copy_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, x, y, n);
  }
  // Each intermediate result is smaller than what it is the sum of: two scratch memories in turn.
  const int64_t most = left > 1 ? groups.product(0, groups.count) : 0;
  const DeviceScratch<T> even(most), odd(left > 2 ? most : 0);
  for (; left > 0; --left) {
    const int g = groups.last_summed();
    const int64_t outer = groups.product(0, g), n = groups.size[g], inner = groups.product(g + 1, groups.count);
    T* to = left == 1 ? y : x == static_cast<T*>(even) ? odd : even;
    sum_dim(stream, x, to, outer, n, inner);
    groups.remove(g);
    x = to;
  }
}

template <class T>
void max_dim(Stream stream, const T* x, T* y, int64_t* index, int64_t outer, int64_t n, int64_t inner) {
  launch(max_dim_kernel<T>, grid_for(outer * inner, kThreads), kThreads, 0, stream, x, y, index, outer, n, inner);
}

template <class T>
void expand_dim(Stream stream, T scale, const T* dy, T* dx, int64_t outer, int64_t n, int64_t inner) {
  const int64_t count = outer * n * inner;
  launch(expand_dim_kernel<T>, grid_for(count, kThreads), kThreads, 0, stream, scale, dy, dx, count, n, inner);
}

template <class T>
void sum_of_squares(Stream stream, const T* const* buffers, const int64_t* sizes, int64_t count, T* y) {
  std::vector<SumList<T>> lists;
  int64_t chunks = 0;
  for (int64_t b = 0; b < count; ++b) {
    lists.push_back({buffers[b], sizes[b], nullptr});
    chunks += sum_chunks(sizes[b]);
  }
  const DeviceScratch<T> even(chunks), odd(chunks);
  const auto pieces_of = [](const SumList<T>& list) { return sum_chunks(list.n); };
  // Chunk sums of all buffers, one after the other, then those of the chunk sums, until each buffer has one.
  T* to = even;
  for (bool squares = true;; squares = false, to = to == static_cast<T*>(even) ? odd : even) {
    int64_t at = 0, most = 0;
    for (SumList<T>& list : lists) {
      list.to = to + at;
      at += sum_chunks(list.n);
      most = sum_chunks(list.n) > most ? sum_chunks(list.n) : most;
    }
    for_each_table(lists.data(), count, pieces_of, [&](const TensorTable<SumList<T>>& table) {
      launch(squares ? table_chunk_sums_kernel<T, true> : table_chunk_sums_kernel<T, false>,
             grid_of_warps(table.pieces, kSumThreads), kSumThreads, 0, stream, table);
    });
    if (most <= 1) break;
    for (SumList<T>& list : lists) list = {list.to, sum_chunks(list.n), nullptr};
  }
  whole_sums(stream, y, 1, count, ListTerm<T>{to, count});
}

template <class T>
void count_nonfinite(Stream stream, const T* x, int64_t n, int64_t* found) {
  const DeviceScratch<unsigned long long> count(1);
  zero_memory(count, this_device(), sizeof(unsigned long long));
  launch(count_nonfinite_kernel<T>, grid_for(n, kThreads), kThreads, 0, stream, x, n,
         static_cast<unsigned long long*>(count));
  copy_memory(found, Device{}, count, this_device(), sizeof(int64_t));
}

template <class T>
void min_max(Stream stream, const T* x, T* low, T* high, int64_t n) {
  const int64_t count = n < kMostExtremes ? n : kMostExtremes;
  const DeviceScratch<Extremes<T>> parts(count);
  launch(extremes_kernel<T>, static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream, x, n,
         static_cast<Extremes<T>*>(parts));
  Extremes<T> host[kMostExtremes];
  copy_memory(host, Device{}, parts, this_device(), static_cast<size_t>(count) * sizeof(Extremes<T>));
  Extremes<T> e = host[0];
  for (int64_t i = 1; i < count; ++i) {
    e.nan += host[i].nan;
    e.low = host[i].low < e.low ? host[i].low : e.low;
    e.high = host[i].high > e.high ? host[i].high : e.high;
  }
  const T nan = static_cast<T>(__builtin_nan(""));
  *low = e.nan > 0 ? nan : e.low;
  *high = e.nan > 0 ? nan : e.high;
}

TAUT_INSTANTIATE_REDUCE(float)
TAUT_INSTANTIATE_REDUCE(double)
template void sum_columns<BF16>(Stream, const BF16*, BF16*, int64_t, int64_t);

// A sum over several dimensions goes through floats: it occurs where a small operand was broadcast.
template <>
void sum_to_shape<BF16>(Stream stream, const BF16* x, BF16* y, const SumShape& shape) {
  int64_t n = 1, kept = 1;
  for (int d = 0; d < shape.dims; ++d) {
    n *= shape.size[d];
    if (!shape.summed[d]) kept *= shape.size[d];
  }
  const DeviceScratch<float> in(n), out(kept);
  cast<BF16, float>(stream, x, in, n);
  sum_to_shape<float>(stream, in, out, shape);
  cast<float, BF16>(stream, out, y, kept);
}

}  // namespace taut::TAUT_GPU
