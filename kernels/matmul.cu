// Matrix products by the kernel of kernels/product.cuh, with what is done to an element while it is in a register.
#include "kernels/matmul.h"

#include "kernels/product.cuh"

namespace taut::TAUT_GPU {
namespace {

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

}  // namespace

template <class T>
void matmul(Stream stream, const T* a, const T* b, const T* bias, const T* residual, T* c, T* pre, const MatmulShape& s,
            Epilogue epilogue) {
  const Matrix<T> left{a, s.transpose_a ? 1 : s.lda, s.transpose_a ? s.lda : 1, s.m, s.stride_a};
  const Matrix<T> right{b, s.transpose_b ? s.ldb : 1, s.transpose_b ? 1 : s.ldb, s.n, s.stride_b};
  launch_product<T>(stream, left, right, Result<T>{bias, residual, c, pre, s.ldc, s.stride_c, epilogue}, s.k, s.batch);
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

}  // namespace taut::TAUT_GPU
