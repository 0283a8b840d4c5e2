// One matrix product for many uses, in the numeric contract's order (kernels/matmul.h): a thread owns 8 x 8 elements of
// a 128 x 128 tile (4 x 4 of 64 x 64 in double) and gives each one FMA chain a block of k; the block of threads brings
// 8 values of k of both operands into shared memory at a time.
//
// An operand gives the element of result index i and of k, load(i, k), says how many i there are, size(), along which
// index its memory is dense, dense_along_k(), and which operand a product of a batch has, item(number). A result takes
// store(i, j, s) and has item(number) too.
#pragma once

#include "kernels/device.cuh"
#include "kernels/k_block.h"

namespace taut::TAUT_GPU {

// Tile of a block of threads: kRows x kCols of c, kDepth of k at a time, kEach x kEach elements a thread. Depth 8 keeps
// two loads a thread in flight; the column of a tile in shared memory is kPad longer, so that writing along k does not
// meet the same bank eight times.
template <class T>
struct Tile;
template <>
struct Tile<float> {
  static constexpr int kRows = 128, kCols = 128, kDepth = 8, kEach = 8, kPad = 4;
};
template <>
struct Tile<double> {
  static constexpr int kRows = 64, kCols = 64, kDepth = 8, kEach = 4, kPad = 2;
};
template <class T>
constexpr int kProductThreads = Tile<T>::kRows* Tile<T>::kCols / (Tile<T>::kEach * Tile<T>::kEach);  // 256

// One slice of an operand into shared memory: to[k][i], i < kSize, k < kDepth; zeros beyond the operand, which no
// result that is stored reads.
template <class T, int kSize, class Operand>
__device__ void load_slice(const Operand& from, int64_t first_i, int64_t first_k, int64_t end_k, T* to) {
  constexpr int kDepth = Tile<T>::kDepth, kLine = kSize + Tile<T>::kPad;
  // Along the direction in which memory is dense, so that a warp reads whole lines.
  const bool along_k = from.dense_along_k();
  for (int e = static_cast<int>(threadIdx.x); e < kSize * kDepth; e += kProductThreads<T>) {
    const int i = along_k ? e / kDepth : e % kSize, k = along_k ? e % kDepth : e / kSize;
    const bool exists = first_i + i < from.size() && first_k + k < end_k;
    to[k * kLine + i] = exists ? from.load(first_i + i, first_k + k) : T(0);
  }
}

// A stored matrix: element (i, k) lies at i step_i + k step_k.
template <class T>
struct Matrix {
  const T* p;
  int64_t step_i, step_k, size_i, stride;
  __device__ Matrix item(int64_t number) const { return {p + number * stride, step_i, step_k, size_i, stride}; }
  __host__ __device__ int64_t size() const { return size_i; }
  __device__ bool dense_along_k() const { return step_k == 1 && step_i != 1; }
  __device__ T load(int64_t i, int64_t k) const { return p[i * step_i + k * step_k]; }
};

template <class T, class OperandA, class OperandB, class Result>
__global__ void __launch_bounds__(kProductThreads<T>)
    product_kernel(OperandA a, OperandB b, Result result, int64_t k, int64_t block_of_k, int64_t batch) {
  constexpr int kEach = Tile<T>::kEach, kDepth = Tile<T>::kDepth, kAcross = Tile<T>::kCols / kEach;
  constexpr int kLineA = Tile<T>::kRows + Tile<T>::kPad, kLineB = Tile<T>::kCols + Tile<T>::kPad;
  Shared shared;
  T* const slice_a = shared.take<T>(kDepth * kLineA);
  T* const slice_b = shared.take<T>(kDepth * kLineB);
  // A thread's rows and columns lie kRows / kEach apart: neighbours read neighbouring words.
  const int row = static_cast<int>(threadIdx.x) / kAcross, col = static_cast<int>(threadIdx.x) % kAcross;
  const unsigned across = pieces(b.size(), Tile<T>::kCols);
  const int64_t first_i = static_cast<int64_t>(blockIdx.x / across) * Tile<T>::kRows;
  const int64_t first_j = static_cast<int64_t>(blockIdx.x % across) * Tile<T>::kCols;
  for (int64_t item = blockIdx.z; item < batch; item += gridDim.z) {
    const OperandA item_a = a.item(item);
    const OperandB item_b = b.item(item);
    T sum[kEach][kEach] = {};
    for (int64_t begin = 0; begin < k; begin += block_of_k) {
      const int64_t end = begin + block_of_k < k ? begin + block_of_k : k;
      T chain[kEach][kEach] = {};
      for (int64_t at = begin; at < end; at += kDepth) {
        load_slice<T, Tile<T>::kRows>(item_a, first_i, at, end, slice_a);
        load_slice<T, Tile<T>::kCols>(item_b, first_j, at, end, slice_b);
        __syncthreads();
        const int depth = static_cast<int>(end - at < kDepth ? end - at : kDepth);  // k is never padded
        for (int d = 0; d < depth; ++d) {
          T va[kEach], vb[kEach];
#pragma unroll
          for (int e = 0; e < kEach; ++e) {
            va[e] = slice_a[d * kLineA + row + e * (Tile<T>::kRows / kEach)];
            vb[e] = slice_b[d * kLineB + col + e * (Tile<T>::kCols / kEach)];
          }
#pragma unroll
          for (int i = 0; i < kEach; ++i)
#pragma unroll
            for (int j = 0; j < kEach; ++j) chain[i][j] = fma(va[i], vb[j], chain[i][j]);
        }
        __syncthreads();
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j) sum[i][j] = begin == 0 ? chain[i][j] : sum[i][j] + chain[i][j];
    }
    const Result to = result.item(item);
#pragma unroll
    for (int i = 0; i < kEach; ++i)
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const int64_t at_i = first_i + row + i * (Tile<T>::kRows / kEach);
        const int64_t at_j = first_j + col + j * (Tile<T>::kCols / kEach);
        if (at_i < item_a.size() && at_j < item_b.size()) to.store(at_i, at_j, sum[i][j]);
      }
  }
}

// result (a.size(), b.size()) = a b summed over k, for `batch` items.
template <class T, class OperandA, class OperandB, class Result>
void launch_product(Stream stream, OperandA a, OperandB b, Result result, int64_t k, int64_t batch) {
  constexpr int64_t kMostItems = 65535;
  const dim3 grid = rows_of_blocks(pieces(b.size(), Tile<T>::kCols), pieces(a.size(), Tile<T>::kRows),
                                   static_cast<unsigned>(batch < kMostItems ? batch : kMostItems));
  constexpr size_t kShared = Tile<T>::kDepth * (Tile<T>::kRows + Tile<T>::kCols + 2 * Tile<T>::kPad) * sizeof(T);
  launch(product_kernel<T, OperandA, OperandB, Result>, grid, kProductThreads<T>, kShared, stream, a, b, result, k,
         k_block(k), batch);
}

}  // namespace taut::TAUT_GPU
