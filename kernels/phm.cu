// PHM in the numeric contract's order (kernels/phm.h). A warp works on a row: its coefficients (u, v or gt, gu) stay in
// shared memory between the row sums that make them and the products that use them; where n and the rank make more of
// them than a block can share, they lie in device memory. For the gradients of the factors they are kept, and a thread
// adds an element over a chunk of 32 rows.
#include "kernels/phm.h"

#include "kernels/device.cuh"
#include "kernels/sums.cuh"

namespace taut::TAUT_GPU {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
// Coefficients that lie in device memory at once; few on the runner, so that slices of the rows meet there.
constexpr int64_t kMostKept = kDeviceKind == DeviceKind::kCuda ? int64_t{64} << 20 : int64_t{66} << 10;

// Coefficients of a row lie as [a or b][i,r]: n times n rank of them.
__device__ int64_t values_of(const PhmShape& s) { return s.n * s.n * s.rank; }

// to[a,f] = row sum over p of x[a,p] factor(f, p), by the warp; x (n, width).
template <class T, class Factor>
__device__ void dots(const PhmShape& s, const T* x, int64_t width, Factor&& factor, T* to) {
  const int64_t factors = s.n * s.rank;
  for (int64_t a = 0; a < s.n; ++a)
    for (int64_t f = 0; f < factors; ++f) {
      const T sum = row_sum<T>(width, [&](int64_t p) { return x[a * width + p] * factor(f, p); });
      if (lane() == 0) to[a * factors + f] = sum;
    }
  __syncwarp();
}

// to[b,i,r] = sum_a rule[i,a,b] from[a,i,r]; with `transposed`, to[a,i,r] = sum_b rule[i,a,b] from[b,i,r].
template <class T>
__device__ void mix(const PhmShape& s, const T* rule, bool transposed, const T* from, T* to) {
  const int64_t factors = s.n * s.rank;
  for (int64_t at = lane(); at < values_of(s); at += kWarpSize) {
    const int64_t b = at / factors, f = at % factors;
    const T* const part = rule + f / s.rank * s.n * s.n;
    T sum = 0;
    for (int64_t a = 0; a < s.n; ++a)
      sum = fma(transposed ? part[b * s.n + a] : part[a * s.n + b], from[a * factors + f], sum);
    to[at] = sum;
  }
  __syncwarp();
}

// y[b,q] = sum_f coefficients[b,f] factor(f, q) (+ bias[b,q]); y (n, width).
template <class T, class Factor>
__device__ void combine(const PhmShape& s, const T* coefficients, int64_t width, Factor&& factor, const T* bias, T* y) {
  const int64_t factors = s.n * s.rank;
  for (int64_t at = lane(); at < s.n * width; at += kWarpSize) {
    const int64_t b = at / width, q = at % width;
    T sum = 0;
    for (int64_t f = 0; f < factors; ++f) sum = fma(coefficients[b * factors + f], factor(f, q), sum);
    y[at] = bias == nullptr ? sum : sum + bias[at];
  }
}

// left is stored (n, width, rank), right (n, rank, width): element (f = (i, r), p) of each.
template <class T>
struct LeftFactor {
  const T* left;
  int64_t width, rank;
  __device__ T operator()(int64_t f, int64_t p) const { return left[(f / rank * width + p) * rank + f % rank]; }
};
template <class T>
struct RightFactor {
  const T* right;
  int64_t width;
  __device__ T operator()(int64_t f, int64_t q) const { return right[f * width + q]; }
};

// The warp's shared memory, for `kinds` lists of coefficients.
template <class T>
__device__ T* shared_lists(const PhmShape& s, int kinds) {
  Shared shared;
  return shared.take<T>(kWarps * kinds * values_of(s)) + threadIdx.x / kWarpSize * kinds * values_of(s);
}

// far (rows, 2, values) has room for u and v where they are not shared.
template <class T, bool kIsShared>
__global__ void phm_forward_kernel(const T* x, const T* rule, const T* left, const T* right, const T* bias, T* y,
                                   T* far, PhmShape s) {
  T* const near = kIsShared ? shared_lists<T>(s, 2) : nullptr;
  for (int64_t row = warp_in_grid(); row < s.rows; row += warps_in_grid()) {
    T *const u = kIsShared ? near : far + row * 2 * values_of(s), *const v = u + values_of(s);
    dots(s, x + row * s.in, s.in / s.n, LeftFactor<T>{left, s.in / s.n, s.rank}, u);
    mix(s, rule, false, u, v);
    combine(s, v, s.out / s.n, RightFactor<T>{right, s.out / s.n}, bias, y + row * s.out);
  }
}

// dx, and the coefficients that the gradients of the factors need: kept (rows, 4, values) as u, v, gt, gu. If they are
// not wanted, kept is null where they are shared, and left with gt and gu where not.
template <class T, bool kIsShared>
__global__ void phm_backward_rows_kernel(const T* dy, const T* x, const T* rule, const T* left, const T* right, T* dx,
                                         T* kept, bool weights, PhmShape s) {
  const int64_t values = values_of(s);
  T* const near = kIsShared ? shared_lists<T>(s, 4) : nullptr;
  const LeftFactor<T> left_factor{left, s.in / s.n, s.rank};
  const RightFactor<T> right_factor{right, s.out / s.n};
  for (int64_t row = warp_in_grid(); row < s.rows; row += warps_in_grid()) {
    T* const mine = kIsShared ? near : kept + row * 4 * values;
    T *const u = mine, *const v = u + values, *const gt = v + values, *const gu = gt + values;
    dots(s, dy + row * s.out, s.out / s.n, right_factor, gt);
    mix(s, rule, true, gt, gu);
    if (dx != nullptr) combine(s, gu, s.in / s.n, left_factor, static_cast<const T*>(nullptr), dx + row * s.in);
    if (!weights) continue;
    dots(s, x + row * s.in, s.in / s.n, left_factor, u);
    mix(s, rule, false, u, v);
    if constexpr (kIsShared) {
      for (int64_t at = lane(); at < 4 * values; at += kWarpSize) kept[row * 4 * values + at] = mine[at];
      __syncwarp();
    }
  }
}

// list (chunks, n^3): the row sum over a chunk's rows of the chain over r of u[a,i,r] gt[b,i,r]; a lane a row.
template <class T>
__global__ void phm_rule_chunks_kernel(const T* kept, T* list, int64_t chunks, PhmShape s) {
  const int64_t cols = s.n * s.n * s.n, values = values_of(s), factors = s.n * s.rank;
  for (int64_t task = warp_in_grid(); task < chunks * cols; task += warps_in_grid()) {
    const int64_t chunk = task / cols, i = task % cols / (s.n * s.n), a = task / s.n % s.n, b = task % s.n;
    const int64_t row = chunk * kChunkRows + lane();
    T chain = 0;
    if (row < s.rows) {
      const T* const u = kept + row * 4 * values + a * factors + i * s.rank;
      const T* const gt = kept + (row * 4 + 2) * values + b * factors + i * s.rank;
      for (int64_t r = 0; r < s.rank; ++r) chain = fma(u[r], gt[r], chain);
    }
    const T sum = fold_64(chain, T(0));
    if (lane() == 0) list[task] = sum;
  }
}

// list (chunks, elements): the chain over a chunk's (row, b) of g[row,b,q] coefficients[row][b,f], element e being
// (f, q), or (i, q, r) as left is stored.
template <class T>
__global__ void phm_factor_chunks_kernel(const T* g, const T* coefficients, T* list, int64_t chunks, int64_t width,
                                         bool as_left, PhmShape s) {
  const int64_t factors = s.n * s.rank, elements = factors * width, values = values_of(s);
  for (int64_t task = thread_in_grid(); task < chunks * elements; task += threads_in_grid()) {
    const int64_t chunk = task / elements, e = task % elements;
    const int64_t q = as_left ? e / s.rank % width : e % width;
    const int64_t f = as_left ? e / (width * s.rank) * s.rank + e % s.rank : e / width;
    T chain = 0;
    for (int64_t row = chunk * kChunkRows; row < s.rows && row < (chunk + 1) * kChunkRows; ++row)
      for (int64_t b = 0; b < s.n; ++b)
        chain = fma(coefficients[row * 4 * values + b * factors + f], g[(row * s.n + b) * width + q], chain);
    list[task] = chain;
  }
}

// Bytes of shared memory of a block that keeps `kinds` lists a row; 0 if no block has as many.
template <class T>
size_t shared_bytes(const PhmShape& s, int kinds) {
  const size_t bytes = static_cast<size_t>(kWarps * kinds * s.n * s.n * s.rank) * sizeof(T);
  return bytes <= most_shared_bytes() ? bytes : 0;
}

// slice(first, rows), for whole chunks of rows whose coefficients, `each` numbers a row, fit into device memory at
// once. Without rows there is a slice of none, whose sums are zeros.
template <class F>
void by_slices(int64_t rows, int64_t each, F&& slice) {
  const int64_t fitting = each > 0 ? kMostKept / each / kChunkRows * kChunkRows : rows;
  const int64_t step = fitting > kChunkRows ? fitting : kChunkRows;
  int64_t first = 0;
  do {
    slice(first, rows - first < step ? rows - first : step);
    first += step;
  } while (first < rows);
}

}  // namespace

template <class T>
void phm_forward(Stream stream, const T* x, const T* rule, const T* left, const T* right, const T* bias, T* y,
                 const PhmShape& s) {
  const size_t bytes = shared_bytes<T>(s, 2);
  const auto kernel = bytes > 0 ? phm_forward_kernel<T, true> : phm_forward_kernel<T, false>;
  const int64_t each = bytes > 0 ? 0 : 2 * s.n * s.n * s.rank;
  by_slices(s.rows, each, [&](int64_t first, int64_t rows) {
    const DeviceScratch<T> far(rows * each);
    PhmShape part = s;
    part.rows = rows;
    launch(kernel, grid_of_warps(rows, kThreads), kThreads, bytes, stream, x + first * s.in, rule, left, right, bias,
           y + first * s.out, static_cast<T*>(far), part);
  });
}

template <class T>
void phm_backward(Stream stream, const T* dy, const T* x, const T* rule, const T* left, const T* right, T* dx, T* drule,
                  T* dleft, T* dright, const PhmShape& s) {
  const bool weights = drule != nullptr || dleft != nullptr || dright != nullptr;
  const int64_t values = s.n * s.n * s.rank, chunks = row_chunks(s.rows);
  const size_t bytes = shared_bytes<T>(s, 4);
  const auto kernel = bytes > 0 ? phm_backward_rows_kernel<T, true> : phm_backward_rows_kernel<T, false>;
  const int64_t each = weights || bytes == 0 ? 4 * values : 0;
  const int64_t rule_size = s.n * s.n * s.n, left_size = s.rank * s.in, right_size = s.rank * s.out;
  const DeviceScratch<T> rules(drule != nullptr ? chunks * rule_size : 0);
  const DeviceScratch<T> lefts(dleft != nullptr ? chunks * left_size : 0);
  const DeviceScratch<T> rights(dright != nullptr ? chunks * right_size : 0);
  by_slices(s.rows, each, [&](int64_t first, int64_t rows) {
    const DeviceScratch<T> memory(rows * each);
    T* const kept = each > 0 ? static_cast<T*>(memory) : nullptr;
    PhmShape part = s;
    part.rows = rows;
    const T *const dy_part = dy + first * s.out, *const x_part = x == nullptr ? nullptr : x + first * s.in;
    launch(kernel, grid_of_warps(rows, kThreads), kThreads, bytes, stream, dy_part, x_part, rule, left, right,
           dx == nullptr ? nullptr : dx + first * s.in, kept, weights, part);
    const int64_t chunk = first / kChunkRows, some = row_chunks(rows);
    if (drule != nullptr)
      launch(phm_rule_chunks_kernel<T>, grid_of_warps(some * rule_size, kThreads), kThreads, 0, stream,
             static_cast<const T*>(kept), rules + chunk * rule_size, some, part);
    if (dleft != nullptr)
      launch(phm_factor_chunks_kernel<T>, grid_for(some * left_size, kThreads), kThreads, 0, stream, x_part,
             static_cast<const T*>(kept + 3 * values), lefts + chunk * left_size, some, s.in / s.n, true, part);
    if (dright != nullptr)
      launch(phm_factor_chunks_kernel<T>, grid_for(some * right_size, kThreads), kThreads, 0, stream, dy_part,
             static_cast<const T*>(kept + values), rights + chunk * right_size, some, s.out / s.n, false, part);
  });
  const auto fold = [&](T* to, const T* list, int64_t cols) {
    if (to != nullptr) fold_column_chunks(stream, ColumnTargets<T, 1>{{to}}, list, cols, chunks);
  };
  fold(drule, rules, rule_size);
  fold(dleft, lefts, left_size);
  fold(dright, rights, right_size);
}

TAUT_INSTANTIATE_PHM(float)
TAUT_INSTANTIATE_PHM(double)

}  // namespace taut::TAUT_GPU
