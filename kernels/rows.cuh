// Sums and maxima of rows by a warp, in the numeric contract's order (docs/numerics.md).
#pragma once

#include "kernels/device.cuh"

namespace taut::TAUT_GPU {

__device__ __forceinline__ int64_t warp_in_grid() { return thread_in_grid() / kWarpSize; }
__device__ __forceinline__ int64_t warps_in_grid() { return threads_in_grid() / kWarpSize; }

// Blocks of `threads` for `rows` rows, a warp each, in a loop over the grid.
inline dim3 grid_of_warps(int64_t rows, int threads) { return grid_for(rows * kWarpSize, threads); }

// The contract's fold of 64 partial sums, two a lane: partial i in lane i mod 32, `low` for i < 32. Every lane gets the
// sum.
template <class T>
__device__ __forceinline__ T fold_64(T low, T high) {
  T sum = low + high;
  for (int step = 16; step > 0; step /= 2) sum = sum + __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}

// Sum over i < n of term(i), the same in every lane; a lane calls term for i = lane, lane + 32, ... in this order. All
// lanes of the warp must come.
template <class T, class Term>
__device__ __forceinline__ T row_sum(int64_t n, Term&& term) {
  T low = 0, high = 0;
  for (int64_t i = lane(); i < n; i += 2 * kWarpSize) {
    low = low + term(i);
    if (i + kWarpSize < n) high = high + term(i + kWarpSize);
  }
  return fold_64(low, high);
}

// A row of at most 32 kEach elements in the registers of a warp: element i is in lane i mod 32. The sums have row_sum's
// order.
template <class T, int kEach>
struct WarpRow {
  T v[kEach] = {};

  // f(index in v, element) for the elements of this lane that exist.
  template <class F>
  __device__ __forceinline__ void each(int64_t n, F&& f) {
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (const int64_t i = lane() + e * kWarpSize; i < n) f(e, i);
  }
  // Sum of term(index in v, element).
  template <class Term>
  __device__ __forceinline__ T sum(int64_t n, Term&& term) {
    T part[2] = {0, 0};
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (const int64_t i = lane() + e * kWarpSize; i < n) part[e % 2] = part[e % 2] + term(e, i);
    return fold_64(part[0], part[1]);
  }
};

// Greatest of term(i), i < n, n >= 1, the same in every lane; unspecified where one is NaN.
template <class T, class Term>
__device__ __forceinline__ T row_max(int64_t n, Term&& term) {
  T m = lane() < n ? term(lane()) : -T(__builtin_inff());  // no lane reads another's element
  for (int64_t i = lane() + kWarpSize; i < n; i += kWarpSize) m = max(m, term(i));
  for (int step = 16; step > 0; step /= 2) m = max(m, __shfl_xor_sync(kAllLanes, m, step));
  return m;
}

}  // namespace taut::TAUT_GPU
