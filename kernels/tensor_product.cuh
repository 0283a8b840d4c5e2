// One matrix product on tensor cores for many uses: operands bf16 (E = BF16) or floats that are rounded to tf32 (E =
// float), sums in f32. Outside the numeric contract: judged by the tolerance policy, the same bits for the same launch.
//
// A block of 8 warps makes a 128 x 128 tile of the result, a warp 64 x 32 of it. 64 bytes of k of both operands at a
// time come into shared memory by asynchronous copies of 16 bytes, the next slice while this one is multiplied; results
// leave through shared memory, so that a thread writes 8 neighbours.
//
// An operand gives size(), how many result indices it has; item(number), that of one product of a batch; in_chunks(),
// whether its memory can be had in pieces of 16 bytes (kChunk<E> elements at a multiple of 16), and then chunk(i, k,
// end), the address of the elements from (i, k) on and how many there are before zeros; else load(i, k). kAlongK says
// along which index a piece goes. A result takes store(i, j, s, count): `count` <= 8 elements from (i, j) on.
#pragma once

#include "kernels/tensor_core.cuh"

namespace taut::TAUT_GPU {

constexpr int kTensorThreads = 256;
// Tile of a block and of a warp. Two slices of both operands are 32 KiB. 64 sums a thread need more than the 128
// registers that two blocks on a multiprocessor leave (ptxas, sm_90: up to 208 bytes spilt there), so one block has
// them all.
constexpr int kTensorRows = 128, kTensorCols = 128, kWarpRows = 64, kWarpCols = 32;
constexpr int kSliceBytes = 64, kChunkBytes = 16, kOperandBytes = kTensorRows * kSliceBytes;
constexpr size_t kTensorShared = size_t{4} * kOperandBytes;
template <class E>
constexpr int kChunk = kChunkBytes / static_cast<int>(sizeof(E));  // elements: 8 or 4
template <class E>
constexpr int kSliceDepth = kSliceBytes / static_cast<int>(sizeof(E));  // 32 or 16; a step of mma is half of it

// The elements that memory holds where T is what is asked for: TF32's are floats.
inline const BF16* elements(const BF16* p) { return p; }
inline BF16* elements(BF16* p) { return p; }
inline const float* elements(const TF32* p) { return reinterpret_cast<const float*>(p); }
inline float* elements(TF32* p) { return reinterpret_cast<float*>(p); }

template <class E>
struct Chunk {
  const E* from;
  int64_t count;  // the rest are zeros
};

// ---- memory ---------------------------------------------------------------------------------------------------------

__device__ __forceinline__ uint32_t bits_of(float x) { return static_cast<uint32_t>(as_int(x)); }
__device__ __forceinline__ float float_of(uint32_t bits) { return as_real(static_cast<int32_t>(bits)); }

// Eight elements in pieces of 16 bytes.
__device__ __forceinline__ void load8(const float* p, float (&v)[8]) {
  const Float4 low = load4(p), high = load4(p + 4);
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    v[e] = element(low, e);
    v[e + 4] = element(high, e);
  }
}
__device__ __forceinline__ void load8(const BF16* p, float (&v)[8]) {
  const Float4 all = load4(reinterpret_cast<const float*>(p));
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const uint32_t pair = bits_of(element(all, e));
    v[2 * e] = float_of(pair << 16);
    v[2 * e + 1] = float_of(pair & 0xffff0000u);
  }
}
__device__ __forceinline__ void store8(float* p, const float (&v)[8]) {
  store4(p, make4(v[0], v[1], v[2], v[3]));
  store4(p + 4, make4(v[4], v[5], v[6], v[7]));
}
__device__ __forceinline__ void store8(BF16* p, const float (&v)[8]) {
  store4(reinterpret_cast<float*>(p), make4(float_of(pack_bf16(v[0], v[1])), float_of(pack_bf16(v[2], v[3])),
                                            float_of(pack_bf16(v[4], v[5])), float_of(pack_bf16(v[6], v[7]))));
}
// Eight elements as they may lie: in pieces where `whole`, else the first `count` one by one.
template <class E>
__device__ __forceinline__ void load8(const E* p, float (&v)[8], int64_t count, bool whole) {
  if (whole) return load8(p, v);
#pragma unroll
  for (int e = 0; e < 8; ++e) v[e] = e < count ? widen(p[e]) : 0;
}
template <class E>
__device__ __forceinline__ void store8(E* p, const float (&v)[8], int64_t count, bool whole) {
  if (whole) return store8(p, v);
#pragma unroll
  for (int e = 0; e < 8; ++e)
    if (e < count) p[e] = convert<E>(v[e]);
}

// ---- slices in shared memory ----------------------------------------------------------------------------------------

// Where chunk `chunk` of line `line` lies. Lines go along k (four chunks each; line i) or along i (line k), and chunks
// change places from line to line so that neither the copies in nor the loads of fragments meet a bank twice.
template <class E, bool along_k>
__device__ __forceinline__ int slice_at(int line, int chunk) {
  if constexpr (along_k) {
    return line * kSliceBytes + (chunk ^ (line >> 1 & 3)) * kChunkBytes;
  } else {
    const int change = sizeof(E) == 2 ? line & 7 : (line & 3) << 1;
    return line * kTensorRows * static_cast<int>(sizeof(E)) + (chunk ^ change) * kChunkBytes;
  }
}

template <class E, class Operand>
__device__ __forceinline__ void begin_slice(const Operand& from, int64_t first_i, int64_t first_k, int64_t end_k,
                                            unsigned char* to) {
  constexpr int kChunks = kOperandBytes / kChunkBytes, kAcross = kTensorRows / kChunk<E>;
  constexpr bool kAlongK = Operand::kAlongK;
#pragma unroll
  for (int e = static_cast<int>(threadIdx.x); e < kChunks; e += kTensorThreads) {
    const int line = kAlongK ? e / 4 : e / kAcross, chunk = kAlongK ? e % 4 : e % kAcross;
    const int64_t i = first_i + (kAlongK ? line : chunk * kChunk<E>);
    const int64_t k = first_k + (kAlongK ? chunk * kChunk<E> : line);
    unsigned char* const place = to + slice_at<E, kAlongK>(line, chunk);
    if (from.in_chunks()) {
      const Chunk<E> c = from.chunk(i, k, end_k);
      copy_async(place, c.from, static_cast<int>(c.count) * static_cast<int>(sizeof(E)));
      continue;
    }
    uint32_t words[4] = {};
#pragma unroll
    for (int n = 0; n < kChunk<E>; ++n) {
      const int64_t at_i = kAlongK ? i : i + n, at_k = kAlongK ? k + n : k;
      if (at_i >= from.size() || at_k >= end_k) continue;
      if constexpr (sizeof(E) == 2)
        words[n / 2] |= static_cast<uint32_t>(from.load(at_i, at_k).bits) << (n % 2 * 16);
      else
        words[n] = bits_of(from.load(at_i, at_k));
    }
    store4(reinterpret_cast<float*>(place),
           make4(float_of(words[0]), float_of(words[1]), float_of(words[2]), float_of(words[3])));
  }
}

// A fragment of 16 result indices from `first` on and a step of k. r[m] holds the 8 indices and the half of k that m
// says: of operand a (m % 2, m / 2), of operand b, for two mma, (m / 2, m % 2).
template <class E, bool along_k, bool is_b>
__device__ __forceinline__ void load_fragment(const unsigned char* slice, int first, int step, uint32_t (&r)[4]) {
  const int m = lane() / 8, index = is_b ? m / 2 : m % 2, half = is_b ? m % 2 : m / 2;
  if constexpr (along_k) {
    load_matrices(r, slice + slice_at<E, true>(first + lane() % 8 + 8 * index, 2 * step + half));
  } else if constexpr (sizeof(E) == 2) {
    load_matrices_transposed(r, slice + slice_at<E, false>(16 * step + lane() % 8 + 8 * half, first / 8 + index));
  } else {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int i = first + lane() / 4 + 8 * (is_b ? n / 2 : n % 2),
                k = 8 * step + lane() % 4 + 4 * (is_b ? n % 2 : n / 2);
      r[n] = *reinterpret_cast<const uint32_t*>(slice + slice_at<E, false>(k, i / 4) + i % 4 * 4);
    }
  }
  if constexpr (sizeof(E) == 4) {
#pragma unroll
    for (int n = 0; n < 4; ++n) r[n] = to_tf32(r[n]);
  }
}

// ---- the product ----------------------------------------------------------------------------------------------------

// Where the 16 bytes `chunk` of a row of 128 floats lie while results leave.
__device__ __forceinline__ float* staged(float* stage, int row, int chunk) {
  return stage + row * kTensorCols + (chunk ^ (row & 3) << 1) * 4;
}

template <class E, class OperandA, class OperandB, class Result>
__global__ void __launch_bounds__(kTensorThreads)
    tensor_product_kernel(OperandA a, OperandB b, Result result, int64_t k, int64_t batch) {
  constexpr int kTilesDown = kWarpRows / 16, kTilesAcross = kWarpCols / 8;
  Shared shared;
  unsigned char* const slices = shared.take<unsigned char>(kTensorShared);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warp_row = warp / 4 * kWarpRows, warp_col = warp % 4 * kWarpCols;
  const unsigned blocks_across = pieces(b.size(), kTensorCols);
  const int64_t first_i = static_cast<int64_t>(blockIdx.x / blocks_across) * kTensorRows;
  const int64_t first_j = static_cast<int64_t>(blockIdx.x % blocks_across) * kTensorCols;
  const int64_t count = (k + kSliceDepth<E> - 1) / kSliceDepth<E>;
  for (int64_t item = blockIdx.z; item < batch; item += gridDim.z) {
    const OperandA item_a = a.item(item);
    const OperandB item_b = b.item(item);
    const auto begin = [&](int64_t slice) {
      unsigned char* const to = slices + slice % 2 * 2 * kOperandBytes;
      begin_slice<E>(item_a, first_i, slice * kSliceDepth<E>, k, to);
      begin_slice<E>(item_b, first_j, slice * kSliceDepth<E>, k, to + kOperandBytes);
    };
    float sum[kTilesDown][kTilesAcross][4] = {};
    if (count > 0) begin(0);
    commit_copies();
    for (int64_t slice = 0; slice < count; ++slice) {
      if (slice + 1 < count) begin(slice + 1);
      commit_copies();
      wait_for_copies<1>();
      __syncthreads();
      const unsigned char* const slice_a = slices + slice % 2 * 2 * kOperandBytes;
      const unsigned char* const slice_b = slice_a + kOperandBytes;
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        uint32_t fragment_a[kTilesDown][4], fragment_b[kTilesAcross / 2][4];
#pragma unroll
        for (int i = 0; i < kTilesDown; ++i)
          load_fragment<E, OperandA::kAlongK, false>(slice_a, warp_row + 16 * i, step, fragment_a[i]);
#pragma unroll
        for (int j = 0; j < kTilesAcross / 2; ++j)
          load_fragment<E, OperandB::kAlongK, true>(slice_b, warp_col + 16 * j, step, fragment_b[j]);
#pragma unroll
        for (int i = 0; i < kTilesDown; ++i)
#pragma unroll
          for (int j = 0; j < kTilesAcross; ++j) {
            const uint32_t of_b[2] = {fragment_b[j / 2][j % 2 * 2], fragment_b[j / 2][j % 2 * 2 + 1]};
            if constexpr (sizeof(E) == 2)
              mma_bf16(sum[i][j], fragment_a[i], of_b);
            else
              mma_tf32(sum[i][j], fragment_a[i], of_b);
          }
      }
      __syncthreads();
    }
    // The upper 64 rows, then the lower: sums into shared memory as they lie in registers, out of it row by row.
    const Result to = result.item(item);
    float* const stage = reinterpret_cast<float*>(slices);
    for (int half = 0; half < 2; ++half) {
      if (warp_row == half * kWarpRows) {
#pragma unroll
        for (int i = 0; i < kTilesDown; ++i)
#pragma unroll
          for (int j = 0; j < kTilesAcross; ++j)
#pragma unroll
            for (int down = 0; down < 2; ++down) {
              const int row = 16 * i + 8 * down + lane() / 4, col = warp_col + 8 * j + lane() % 4 * 2;
              store2(staged(stage, row, col / 4) + col % 4, sum[i][j][2 * down], sum[i][j][2 * down + 1]);
            }
      }
      __syncthreads();
      const int across = static_cast<int>(threadIdx.x) % 16, first = across >> 2 & 1;
      for (int row = static_cast<int>(threadIdx.x) / 16; row < kWarpRows; row += kTensorThreads / 16) {
        // Every other four threads take their second 16 bytes first: eight threads then meet all banks.
        const Float4 one = load4(staged(stage, row, 2 * across + first));
        const Float4 other = load4(staged(stage, row, 2 * across + 1 - first));
        float s[8];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          s[e] = element(first == 0 ? one : other, e);
          s[e + 4] = element(first == 0 ? other : one, e);
        }
        const int64_t i = first_i + half * kWarpRows + row, j = first_j + 8 * across;
        if (i < item_a.size() && j < item_b.size()) to.store(i, j, s, item_b.size() - j < 8 ? item_b.size() - j : 8);
      }
      __syncthreads();
    }
  }
}

// result (a.size(), b.size()) = a b summed over k, for `batch` items.
template <class E, class OperandA, class OperandB, class Result>
void launch_tensor_product(Stream stream, OperandA a, OperandB b, Result result, int64_t k, int64_t batch) {
  constexpr int64_t kMostItems = 65535;
  const dim3 grid = rows_of_blocks(pieces(b.size(), kTensorCols), pieces(a.size(), kTensorRows),
                                   static_cast<unsigned>(batch < kMostItems ? batch : kMostItems));
  launch(tensor_product_kernel<E, OperandA, OperandB, Result>, grid, kTensorThreads, kTensorShared, stream, a, b,
         result, k, batch);
}

// ---- stored matrices ------------------------------------------------------------------------------------------------

// Element (i, k) lies at i ld + k (along_k) or k ld + i.
template <class E, bool along_k>
struct StoredMatrix {
  static constexpr bool kAlongK = along_k;
  const E* p;
  int64_t ld, size_i, stride;
  bool chunks;

  StoredMatrix(const E* p_, int64_t ld_, int64_t size_, int64_t stride_)
      : p(p_),
        ld(ld_),
        size_i(size_),
        stride(stride_),
        chunks(aligned16(p_) && ld_ % kChunk<E> == 0 && stride_ % kChunk<E> == 0) {}
  __device__ StoredMatrix item(int64_t number) const {
    StoredMatrix to = *this;
    to.p += number * stride;
    return to;
  }
  __host__ __device__ int64_t size() const { return size_i; }
  __device__ bool in_chunks() const { return chunks; }
  __device__ E load(int64_t i, int64_t k) const { return along_k ? p[i * ld + k] : p[k * ld + i]; }
  __device__ Chunk<E> chunk(int64_t i, int64_t k, int64_t end_k) const {
    const int64_t left_i = size_i - i, left_k = end_k - k;
    if (left_i <= 0 || left_k <= 0) return {p, 0};
    const int64_t left = along_k ? left_k : left_i;
    return {along_k ? p + i * ld + k : p + k * ld + i, left < kChunk<E> ? left : kChunk<E>};
  }
};

}  // namespace taut::TAUT_GPU
