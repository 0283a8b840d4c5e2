// What the f32 attention kernels share: where a head lies, products in the contract's order, and the kernels for rows
// of scores that fit into no block's shared memory.
#pragma once

#include "kernels/attention.h"
#include "kernels/device.cuh"
#include "kernels/k_block.h"
#include "kernels/rows.cuh"

namespace taut::TAUT_GPU {

// One head of one image: rows of q, k and v are `token` apart.
template <class T>
struct Head {
  const T *q, *k, *v;
  int64_t token;
  __device__ Head(const T* qkv, const AttentionShape& s, int64_t at)
      : q(qkv + at / s.heads * s.t * 3 * s.heads * s.d + at % s.heads * s.d),
        k(q + s.heads * s.d),
        v(k + s.heads * s.d),
        token(3 * s.heads * s.d) {}
};

// sum over i < n of a(i) b(i): a chain a block of k, block sums in order.
template <class T, class A, class B>
__device__ __forceinline__ T product(int64_t n, A&& a, B&& b) {
  const int64_t block = k_block(n);
  T sum = 0;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = begin + block < n ? begin + block : n;
    T chain = 0;
    for (int64_t i = begin; i < end; ++i) chain = fma(a(i), b(i), chain);
    sum = begin == 0 ? chain : sum + chain;
  }
  return sum;
}

// out[e] for e = lane, lane + 32, ... < d: factor times the product over j < t of row[j] and m[j][e].
template <class T>
__device__ void multiply_row(const T* row, int64_t t, const T* m, int64_t distance, int64_t d, T factor, T* out) {
  for (int64_t e = lane(); e < d; e += kWarpSize)
    out[e] = factor * product<T>(
                          t, [&](int64_t j) { return row[j]; }, [&](int64_t j) { return m[j * distance + e]; });
}

// kernels/attention_long.cu: as attention_forward, and the two parts of attention_backward: dQ with mean (b, heads,
// tq), and dK with dV.
template <class T>
void long_forward(Stream stream, const T* qkv, T* out, T* stats, const AttentionShape& s);
template <class T>
void long_queries(Stream stream, const T* qkv, const T* stats, const T* dout, T* dqkv, T* mean,
                  const AttentionShape& s);
template <class T>
void long_keys(Stream stream, const T* qkv, const T* stats, const T* dout, const T* mean, T* dqkv,
               const AttentionShape& s);

}  // namespace taut::TAUT_GPU
