// Matrix products: c = op(a) op(b), with what can be done while the tile is hot.
//
// Order of additions (docs/numerics.md): nk = ceil(k / 384), kb = min(384, k / nk rounded up to 16); per element and
// block of k one FMA chain from zero, k ascending; then c = p1, + p2, + ... in order. Rows, columns, batch, threads and
// the instruction set do not enter it. k = 0 gives zeros (plus the epilogue).
#pragma once

#include "kernels/runtime.h"

namespace taut {

// What happens to an element s of the product: s, s + bias[j], gelu_erf(s + bias[j]), s (+ bias[j]) + residual[i,j].
enum class Epilogue : uint8_t { kNone, kBias, kBiasGelu, kResidual, kBiasResidual };

// One product, or a batch of products with strided operands. Strides and leading dimensions are in elements.
struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;        // c is (m, n); k is summed
  bool transpose_a = false;           // a is stored (k, m) instead of (m, k)
  bool transpose_b = false;           // b is stored (n, k) instead of (k, n)
  int64_t lda = 0, ldb = 0, ldc = 0;  // distance of stored rows
  int64_t batch = 1;
  int64_t stride_a = 0, stride_b = 0, stride_c = 0;  // distance of one product to the next
};

BOTH_BACKENDS(
    // c (m, n) = epilogue(op(a) op(b)); bias (n), residual shaped and strided as c (it may be c itself); pre, or null,
    // receives s + bias before GELU, shaped and strided as c. No other operand may alias c.
    template <class T> void matmul(Stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre,
                                   const MatmulShape& shape, Epilogue epilogue);

    // y (rows, out) = epilogue(x wT); x (rows, in), w (out, in), dense.
    template <class T> void linear_forward(Stream, const T* x, const T* w, const T* bias, const T* residual, T* y,
                                           T* pre, int64_t rows, int64_t in, int64_t out, Epilogue epilogue);
    // dx (rows, in) = dy w.
    template <class T>
    void linear_backward_input(Stream, const T* dy, const T* w, T* dx, int64_t rows, int64_t in, int64_t out);
    // dw (out, in) = dyT x.
    template <class T>
    void linear_backward_weight(Stream, const T* dy, const T* x, T* dw, int64_t rows, int64_t in, int64_t out);)

}  // namespace taut

// The halves' explicit instantiations.
#define TAUT_INSTANTIATE_MATMUL(T)                                                                                   \
  template void matmul<T>(Stream, const T*, const T*, const T*, const T*, T*, T*, const MatmulShape&, Epilogue);     \
  template void linear_forward<T>(Stream, const T*, const T*, const T*, const T*, T*, T*, int64_t, int64_t, int64_t, \
                                  Epilogue);                                                                         \
  template void linear_backward_input<T>(Stream, const T*, const T*, T*, int64_t, int64_t, int64_t);                 \
  template void linear_backward_weight<T>(Stream, const T*, const T*, T*, int64_t, int64_t, int64_t);
