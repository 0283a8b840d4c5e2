// Matrix products with what is done to an element while it is in a register: in the numeric contract's order by the
// kernel of kernels/product.cuh, of bf16 and tf32 on tensor cores by cuBLASLt where it is in use, else by the kernel of
// kernels/tensor_product.cuh.
#include "kernels/matmul.h"

#include <type_traits>

#include "kernels/cuda/lt.h"
#include "kernels/product.cuh"
#include "kernels/tensor_product.cuh"

namespace taut::TAUT_GPU {
namespace {

template <class T>
struct Result {
  const T *bias, *residual;
  T *c, *pre;
  int64_t ldc, stride;
  Epilogue epilogue;

  __device__ Result item(int64_t number) const {
    Result to = *this;
    to.c += number * stride;
    if (to.pre != nullptr) to.pre += number * stride;
    if (to.residual != nullptr) to.residual += number * stride;
    return to;
  }
  __device__ void store(int64_t i, int64_t j, T s) const {
    const int64_t at = i * ldc + j;
    switch (epilogue) {
      case Epilogue::kNone: break;
      case Epilogue::kBias: s = s + bias[j]; break;
      case Epilogue::kBiasGelu:
        s = s + bias[j];
        if (pre != nullptr) pre[at] = s;
        s = gelu_erf(s);
        break;
      case Epilogue::kResidual: s = s + residual[at]; break;
      case Epilogue::kBiasResidual: s = (s + bias[j]) + residual[at]; break;
    }
    c[at] = s;
  }
};

template <class T>
void contract_matmul(Stream stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre,
                     const MatmulShape& s, Epilogue epilogue) {
  const Matrix<T> left{a, s.transpose_a ? 1 : s.lda, s.transpose_a ? s.lda : 1, s.m, s.stride_a};
  const Matrix<T> right{b, s.transpose_b ? s.ldb : 1, s.transpose_b ? 1 : s.ldb, s.n, s.stride_b};
  launch_product<T>(stream, left, right, Result<T>{bias, residual, c, pre, s.ldc, s.stride_c, epilogue}, s.k, s.batch);
}

// What a tensor-core product does with 8 neighbours of a row.
template <class E>
struct TensorResult {
  const E *bias, *residual;
  E *c, *pre;
  int64_t ldc, stride;
  Epilogue epilogue;
  bool chunks;

  TensorResult(const E* bias_, const E* residual_, E* c_, E* pre_, const MatmulShape& s, Epilogue epilogue_)
      : bias(bias_),
        residual(residual_),
        c(c_),
        pre(pre_),
        ldc(s.ldc),
        stride(s.stride_c),
        epilogue(epilogue_),
        chunks(aligned16(bias_) && aligned16(residual_) && aligned16(c_) && aligned16(pre_) && ldc % kChunk<E> == 0 &&
               stride % kChunk<E> == 0) {}
  __device__ TensorResult item(int64_t number) const {
    TensorResult to = *this;
    to.c += number * stride;
    if (to.pre != nullptr) to.pre += number * stride;
    if (to.residual != nullptr) to.residual += number * stride;
    return to;
  }
  __device__ void store(int64_t i, int64_t j, float (&s)[8], int64_t count) const {
    const int64_t at = i * ldc + j;
    const bool whole = chunks && count == 8;
    const auto add = [&](const E* more) {
      float v[8];
      load8(more, v, count, whole);
#pragma unroll
      for (int e = 0; e < 8; ++e) s[e] = s[e] + v[e];
    };
    if (epilogue != Epilogue::kNone && epilogue != Epilogue::kResidual) add(bias + j);
    if (epilogue == Epilogue::kBiasGelu) {
      if (pre != nullptr) store8(pre + at, s, count, whole);
#pragma unroll
      for (int e = 0; e < 8; ++e) s[e] = gelu_erf(s[e]);
    }
    if (epilogue == Epilogue::kResidual || epilogue == Epilogue::kBiasResidual) add(residual + at);
    store8(c + at, s, count, whole);
  }
};

template <class E>
void tensor_matmul(Stream stream, const E* a, const E* b, const E* bias, const E* residual, E* c, E* pre,
                   const MatmulShape& s, Epilogue epilogue) {
  const TensorResult<E> result(bias, residual, c, pre, s, epilogue);
  const auto with_a = [&](auto left) {
    if (s.transpose_b)
      launch_tensor_product<E>(stream, left, StoredMatrix<E, true>(b, s.ldb, s.n, s.stride_b), result, s.k, s.batch);
    else
      launch_tensor_product<E>(stream, left, StoredMatrix<E, false>(b, s.ldb, s.n, s.stride_b), result, s.k, s.batch);
  };
  if (s.transpose_a)
    with_a(StoredMatrix<E, false>(a, s.lda, s.m, s.stride_a));
  else
    with_a(StoredMatrix<E, true>(a, s.lda, s.m, s.stride_a));
}

}  // namespace

template <class T>
void matmul(Stream stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre, const MatmulShape& s,
            Epilogue epilogue) {
  if constexpr (std::is_same_v<T, BF16> || std::is_same_v<T, TF32>) {
    constexpr bool is_bf16 = std::is_same_v<T, BF16>;
    if (lt_matmul(stream, is_bf16 ? LtElement::kBF16 : LtElement::kTF32, {a, b, bias, residual, c, pre}, s, epilogue))
      return;
    tensor_matmul(stream, elements(a), elements(b), elements(bias), elements(residual), elements(c), elements(pre), s,
                  epilogue);
  } else {
    contract_matmul(stream, a, b, bias, residual, c, pre, s, epilogue);
  }
}

template <class T>
void linear_forward(Stream stream, const T* x, const T* w, const T* bias, const T* residual, T* y, T* pre, int64_t rows,
                    int64_t in, int64_t out, Epilogue epilogue) {
  const MatmulShape s{.m = rows, .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out};
  matmul(stream, x, w, bias, residual, y, pre, s, epilogue);
}

template <class T>
void linear_backward_input(Stream stream, const T* dy, const T* w, T* dx, int64_t rows, int64_t in, int64_t out) {
  const MatmulShape s{.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in};
  matmul<T>(stream, dy, w, nullptr, nullptr, dx, nullptr, s, Epilogue::kNone);
}

template <class T>
void linear_backward_weight(Stream stream, const T* dy, const T* x, T* dw, int64_t rows, int64_t in, int64_t out) {
  const MatmulShape s{.m = out, .n = in, .k = rows, .transpose_a = true, .lda = out, .ldb = in, .ldc = in};
  matmul<T>(stream, dy, x, nullptr, nullptr, dw, nullptr, s, Epilogue::kNone);
}

TAUT_INSTANTIATE_MATMUL(float)
TAUT_INSTANTIATE_MATMUL(double)
TAUT_INSTANTIATE_MATMUL(BF16)
TAUT_INSTANTIATE_MATMUL(TF32)

}  // namespace taut::TAUT_GPU
