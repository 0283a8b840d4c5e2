// Parametrised hypercomplex multiplication (Zhang et al., 2021), factored as in Compacter (Karimi Mahabadi et al.,
// 2021, eq. 5), with P = in / n, Q = out / n:
//
//   y = x H + bias,  H = sum_i kron(A_i, s_i t_i),  A (n, n, n), s (n, P, rank), t (n, rank, Q);  H is never built:
//   u[i,a,r] = sum_p x[a,p] s[i,p,r],  v[i,b,r] = sum_a A[i,a,b] u[i,a,r],  y[b,q] = sum_{i,r} v[i,b,r] t[i,r,q] + bias
//
// where a row of x (of y) is read as (n, P) ((n, Q)). Backward, g = dy:
//   gt[i,b,r] = sum_q g[b,q] t[i,r,q],  gu[i,a,r] = sum_b A[i,a,b] gt[i,b,r],  dx[a,p] = sum_{i,r} gu[i,a,r] s[i,p,r]
//   dt[i,r,q] = sum_rows sum_b g[b,q] v[i,b,r],  dA[i,a,b] = sum_rows sum_r u[i,a,r] gt[i,b,r],
//   ds[i,p,r] = sum_rows sum_a x[a,p] gu[i,a,r]
//
// Orders of addition (docs/numerics.md): u and gt are row sums of rounded products; v, gu, y and dx are one FMA chain,
// indices ascending (r fastest), bias added last. The sums over rows are column sums: a chunk of 32 rows is, for dt and
// ds, one FMA chain from zero over (row, b) or (row, a), for dA the row sum over its rows of an FMA chain over r.
#pragma once

#include "kernels/runtime.h"

namespace taut {

struct PhmShape {
  int64_t rows = 0, in = 0, out = 0;  // in and out are multiples of n
  int64_t n = 1, rank = 1;
};

BOTH_BACKENDS(
    // x (rows, in), rule (n, n, n), left (n, in/n, rank), right (n, rank, out/n), bias (out) or null -> y (rows, out).
    template <class T> void phm_forward(Stream, const T* x, const T* rule, const T* left, const T* right, const T* bias,
                                        T* y, const PhmShape& shape);
    // dy (rows, out) -> dx (rows, in), drule, dleft and dright shaped as rule, left and right; null where it is not
    // wanted. x may be null if none but dx is wanted. The gradient of the bias is the column sum of dy.
    template <class T> void phm_backward(Stream, const T* dy, const T* x, const T* rule, const T* left, const T* right,
                                         T* dx, T* drule, T* dleft, T* dright, const PhmShape& shape);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_PHM(T)                                                                                \
  template void phm_forward<T>(Stream, const T*, const T*, const T*, const T*, const T*, T*, const PhmShape&); \
  template void phm_backward<T>(Stream, const T*, const T*, const T*, const T*, const T*, T*, T*, T*, T*,      \
                                const PhmShape&);
