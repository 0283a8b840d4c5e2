// Multi-head attention (Vaswani et al., 2017, eq. 1) on a fused q, k, v, per image and head:
//
//   S = (scale q) kT,  m_i = max_j S_ij,  P~ = exp(S - m),  z_i = 1 / sum_j P~_ij,  out = (P~ v) z      (P = P~ z)
//   dV = PT dO,  dP = dO vT,  D_i = sum_j P_ij dP_ij,  dS = P (dP - D),  dQ = scale (dS k),  dK = dST (scale q)
//
// Heads are addressed by stride inside (b, t, 3, heads, d): nothing is transposed. Queries are the first tq tokens,
// keys and values all t.
//
// Numbers (docs/numerics.md): q is scaled first, rounded; every product is in the order of kernels/matmul.h, which
// depends on the length of its own sum alone (d, t or tq); the sums of P~ and of the products P dP are row sums; z is
// one IEEE division, out one multiplication by it. Backward computes P as exp(S - m) z from the saved m and z, so it
// has the bits forward had but for the place of z. A NaN or +inf score, or a row of -inf alone, makes its row NaN.
#pragma once

#include "kernels/bf16.h"
#include "kernels/runtime.h"

namespace taut {

// Sizes of one call: 0 <= tq <= t.
struct AttentionShape {
  int64_t b = 0, t = 0, tq = 0, heads = 0, d = 0;
  double scale = 1;
};

BOTH_BACKENDS(
    // qkv (b, t, 3, heads, d) -> out (b, tq, heads, d). stats (b, heads, tq, 2) receives m and z of every row; null
    // where no gradient will be asked for.
    template <class T>
    void attention_forward(Stream, const T* qkv, T* out, Real<T>* stats, const AttentionShape& shape);
    // dout (b, tq, heads, d) -> dqkv (b, t, 3, heads, d), all of it: the queries beyond tq get zeros.
    template <class T> void attention_backward(Stream, const T* qkv, const Real<T>* stats, const T* dout, T* dqkv,
                                               const AttentionShape& shape);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_ATTENTION(T)                                                        \
  template void attention_forward<T>(Stream, const T*, T*, Real<T>*, const AttentionShape&); \
  template void attention_backward<T>(Stream, const T*, const Real<T>*, const T*, T*, const AttentionShape&);
