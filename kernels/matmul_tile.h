// One matrix product on the calling thread, the piece that matmul, attention and whoever else needs a small product
// share:
//
//   c (m, n) = epilogue(op(a) op(b))
//
// Only for the per-instruction-set files of kernels/. Order of additions: kernels/matmul.h. It depends on k alone, so a
// caller may cut m and n as it likes and gets the same bytes.
#pragma once

#include "kernels/k_block.h"
#include "kernels/matmul.h"
#include "kernels/simd.h"

namespace taut::TAUT_CPU {

template <class T>
struct Product {
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;  // (m, k), or (k, m) if transpose_a; rows `lda` apart
  const T* b = nullptr;  // (k, n), or (n, k) if transpose_b; rows `ldb` apart
  T* c = nullptr;        // (m, n), rows `ldc` apart
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool transpose_a = false, transpose_b = false;
  Epilogue epilogue = Epilogue::kNone;
  const T* bias = nullptr;  // (n)
  const T* residual =
      nullptr;       // (m, n), rows `ldc` apart; may be c itself, so `c += a b` is kResidual with residual = c
  T* pre = nullptr;  // (m, n), rows `ldc` apart, or null: s + bias before GELU
};

// Computes the product on the calling thread. Uses thread_scratch slots 0 and 1; slots 2 and 3 are the caller's (c, or
// an operand, may lie there). Any m, n, k >= 0; nothing outside the (m, n) elements of c and pre is written, nothing
// outside the operands is read. Defined in matmul_serial.cc for float and double.
template <class T>
void matmul_serial(const Product<T>& product);

}  // namespace taut::TAUT_CPU
