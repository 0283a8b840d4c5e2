// Column sums and whole sums on a device, in the numeric contract's order (kernels/reduce.h), of terms that a functor
// gives: what norms, biases and reductions share.
#pragma once

#include "kernels/arena.h"
#include "kernels/convert.h"
#include "kernels/device.cuh"
#include "kernels/pointwise.h"
#include "kernels/rows.cuh"

namespace taut::TAUT_GPU {

#ifdef TAUT_SIMT
constexpr DeviceKind kDeviceKind = DeviceKind::kSimt;
#else
constexpr DeviceKind kDeviceKind = DeviceKind::kCuda;
#endif
// The device that runs the kernels of this call.
inline Device this_device() { return {kDeviceKind, device_in_use()}; }

// Device memory for the time of a call: kernels of one stream run in order, so the next may have it at once.
template <class T>
class DeviceScratch {
 public:
  explicit DeviceScratch(int64_t count)
      : p_(static_cast<T*>(arena_allocate(static_cast<size_t>(count) * sizeof(T), device_))) {}
  ~DeviceScratch() { arena_release(p_, device_); }
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  operator T*() const { return p_; }

 private:
  const Device device_ = this_device();
  T* p_;
};

// ---- columns --------------------------------------------------------------------------------------------------------

constexpr int64_t kChunkRows = 32, kColumnPartials = 64;
constexpr int kColumnThreads = 128, kFoldColumns = 32, kFoldRows = 8;

// Where the sums go: a list of chunk sums (chunks, outputs, cols), or y itself where there is one chunk.
template <class T, int outputs>
struct ColumnTargets {
  T* y[outputs];
};

// A thread owns a column of a chunk of 32 rows.
template <class T, int outputs, class Term>
__global__ void column_chunks_kernel(ColumnTargets<T, outputs> y, T* list, int64_t rows, int64_t cols, int64_t chunks,
                                     Term term) {
  const int64_t j = thread_in_grid();
  if (j >= cols) return;
  for (int64_t c = blockIdx.y; c < chunks; c += gridDim.y) {
    T sum[outputs] = {};
    const int64_t bottom = c * kChunkRows + kChunkRows < rows ? c * kChunkRows + kChunkRows : rows;
    for (int64_t row = c * kChunkRows; row < bottom; ++row) {
      T t[outputs];
      term(row, j, t);
#pragma unroll
      for (int k = 0; k < outputs; ++k) sum[k] = sum[k] + t[k];
    }
#pragma unroll
    for (int k = 0; k < outputs; ++k) {
      if (y.y[k] == nullptr) continue;
      if (chunks > 1)
        list[(c * outputs + k) * cols + j] = sum[k];
      else
        y.y[k][j] = sum[k];
    }
  }
}

// Chunk c goes to partial c mod 64; the partials of 32 columns lie in shared memory, a row a partial, and are folded by
// halving. A block of 32 x 8 threads has 32 columns of one output.
template <class T, int outputs>
__global__ void column_fold_kernel(ColumnTargets<T, outputs> y, const T* list, int64_t cols, int64_t chunks) {
  Shared shared;
  T* partial = shared.take<T>(kColumnPartials * kFoldColumns);
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kFoldColumns + threadIdx.x;
  const int k = static_cast<int>(blockIdx.y);
  T* const to = y.y[k];
  if (to == nullptr) return;
  for (int64_t p = threadIdx.y; p < kColumnPartials; p += kFoldRows) {
    T sum = 0;
    if (j < cols)
      for (int64_t c = p; c < chunks; c += kColumnPartials) sum = sum + list[(c * outputs + k) * cols + j];
    partial[p * kFoldColumns + threadIdx.x] = sum;
  }
  for (int64_t half = kColumnPartials / 2; half >= 1; half /= 2) {
    __syncthreads();
    for (int64_t p = threadIdx.y; p < half; p += kFoldRows) {
      T* const at = partial + p * kFoldColumns + threadIdx.x;
      at[0] = at[0] + at[half * kFoldColumns];
    }
  }
  if (threadIdx.y == 0 && j < cols) to[j] = partial[threadIdx.x];
}

inline int64_t row_chunks(int64_t rows) { return rows > kChunkRows ? (rows + kChunkRows - 1) / kChunkRows : 1; }

// y[k] (cols) from list (chunks, outputs, cols).
template <class T, int outputs>
void fold_column_chunks(Stream stream, ColumnTargets<T, outputs> y, const T* list, int64_t cols, int64_t chunks) {
  launch(column_fold_kernel<T, outputs>, dim3(static_cast<unsigned>((cols + kFoldColumns - 1) / kFoldColumns), outputs),
         dim3(kFoldColumns, kFoldRows), kColumnPartials * kFoldColumns * sizeof(T), stream, y, list, cols, chunks);
}

// The elements of x (rows, cols) themselves, as a term of column_sums.
template <class T>
struct ColumnTerm {
  const T* x;
  int64_t cols;
  __device__ void operator()(int64_t row, int64_t j, Real<T> (&t)[1]) const { t[0] = widen(x[row * cols + j]); }
};

// y[k] (cols) = sum over rows of the k-th term of Term::operator()(row, column, T (&terms)[outputs]), called once for
// each element of each row, so it may store on the way. A null y[k] is skipped.
template <class T, int outputs, class Term>
void column_sums(Stream stream, T* const (&y)[outputs], int64_t rows, int64_t cols, Term term) {
  if (cols == 0) return;
  ColumnTargets<T, outputs> targets;
  for (int k = 0; k < outputs; ++k) targets.y[k] = y[k];
  const int64_t chunks = row_chunks(rows);
  const DeviceScratch<T> list(chunks > 1 ? chunks * outputs * cols : 0);
  const dim3 grid(static_cast<unsigned>((cols + kColumnThreads - 1) / kColumnThreads),
                  static_cast<unsigned>(chunks < 32768 ? chunks : 32768));
  launch(column_chunks_kernel<T, outputs, Term>, grid, kColumnThreads, 0, stream, targets, static_cast<T*>(list), rows,
         cols, chunks, term);
  if (chunks > 1) fold_column_chunks(stream, targets, static_cast<const T*>(list), cols, chunks);
}

// The same into y of a stored type: sums of Real<T>, rounded at the end.
template <class T, int outputs, class Term>
void stored_column_sums(Stream stream, T* const (&y)[outputs], int64_t rows, int64_t cols, Term term) {
  if constexpr (kSame<T, Real<T>>) {
    column_sums<T, outputs>(stream, y, rows, cols, term);
  } else {
    const DeviceScratch<Real<T>> sums(outputs * cols);
    Real<T>* at[outputs];
    for (int k = 0; k < outputs; ++k) at[k] = y[k] == nullptr ? nullptr : sums + k * cols;
    column_sums<Real<T>, outputs>(stream, at, rows, cols, term);
    for (int k = 0; k < outputs; ++k)
      if (y[k] != nullptr) cast<Real<T>, T>(stream, at[k], y[k], cols);
  }
}

// The sum of `chunks` chunk sums, chunk(c) in order, by one thread: what a column sum does with them.
template <class T, class Chunk>
__device__ __forceinline__ T fold_chunks(int64_t chunks, Chunk&& chunk) {
  if (chunks == 1) return chunk(0);
  T partial[kColumnPartials] = {};
  for (int64_t c = 0; c < chunks; ++c) partial[c % kColumnPartials] = partial[c % kColumnPartials] + chunk(c);
  for (int64_t half = kColumnPartials / 2; half >= 1; half /= 2)
    for (int64_t i = 0; i < half; ++i) partial[i] = partial[i] + partial[i + half];
  return partial[0];
}

// ---- everything -----------------------------------------------------------------------------------------------------

constexpr int64_t kSumChunk = 4096;
constexpr int kSumThreads = 128;

inline int64_t sum_chunks(int64_t n) { return n > kSumChunk ? (n + kSumChunk - 1) / kSumChunk : 1; }

// A warp a chunk of 4096 elements of a list; y (lists, chunks).
template <class T, class Term>
__global__ void chunk_sums_kernel(T* y, int64_t lists, int64_t n, int64_t chunks, Term term) {
  for (int64_t c = warp_in_grid(); c < lists * chunks; c += warps_in_grid()) {
    const int64_t list = c / chunks, first = c % chunks * kSumChunk;
    const int64_t length = n - first < kSumChunk ? n - first : kSumChunk;
    const T sum = row_sum<T>(length, [&](int64_t i) { return term(list, first + i); });
    if (lane() == 0) y[c] = sum;
  }
}

template <class T>
struct ListTerm {
  const T* lists;
  int64_t n;
  __device__ T operator()(int64_t list, int64_t i) const { return lists[list * n + i]; }
};

// y (lists), device memory: whole sums over i < n of Term::operator()(list, i), which may store on the way.
template <class T, class Term>
void whole_sums(Stream stream, T* y, int64_t lists, int64_t n, Term term) {
  const auto launch_sums = [&](T* to, int64_t length, int64_t chunks, auto terms) {
    launch(chunk_sums_kernel<T, decltype(terms)>, grid_of_warps(lists * chunks, kSumThreads), kSumThreads, 0, stream,
           to, lists, length, chunks, terms);
  };
  int64_t count = sum_chunks(n);
  if (count == 1) return launch_sums(y, n, 1, term);
  const DeviceScratch<T> first(lists * count), second(lists * sum_chunks(count));
  T *from = first, *to = second;
  launch_sums(from, n, count, term);
  while (count > 1) {
    const int64_t next = sum_chunks(count);
    if (next == 1) to = y;
    launch_sums(to, count, next, ListTerm<T>{from, count});
    T* const spare = from;
    from = to;
    to = spare;
    count = next;
  }
}

}  // namespace taut::TAUT_GPU
