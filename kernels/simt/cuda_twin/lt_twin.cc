#include "kernels/simt/cuda_twin/lt_twin.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/error.h"
#include "kernels/simt/memory.h"

namespace taut::cuda_twin {

struct LtHandle {};
struct LtDesc {
  cublasComputeType_t compute;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  void* aux = nullptr;
  int64_t aux_ld = 0, aux_stride = 0;
};
struct LtLayout {
  cudaDataType_t type;
  int64_t rows, cols, ld;
  int32_t batch = 1;
  int64_t stride = 0;
};
struct LtPreference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // a, b, c, d: the default of the documentation
};

namespace {

// Three algorithms, which differ in the workspace they want.
constexpr uint64_t kMagic = 0x5441555447454d4d;
constexpr size_t kWorkspaces[] = {0, 4096, size_t{1} << 40};

bool has_bias(cublasLtEpilogue_t e) { return (e & 4) != 0; }
bool has_gelu(cublasLtEpilogue_t e) { return (e & 32) != 0; }
bool has_aux(cublasLtEpilogue_t e) { return (e & 128) != 0; }

template <class T>
cublasStatus_t read(T& to, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

size_t size_of(cudaDataType_t type) { return type == CUDA_R_16BF ? 2 : 4; }

struct Sizes {
  int64_t m, n, k;
};
// Whether the four matrices make up a product.
bool fits(const LtDesc& desc, const LtLayout& a, const LtLayout& b, const LtLayout& c, const LtLayout& d, Sizes& s) {
  const bool ta = desc.transpose_a == CUBLAS_OP_T, tb = desc.transpose_b == CUBLAS_OP_T;
  s = {ta ? a.cols : a.rows, tb ? b.rows : b.cols, ta ? a.rows : a.cols};
  const bool tf32 = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  return (tb ? b.cols : b.rows) == s.k && d.rows == s.m && d.cols == s.n && c.rows == s.m && c.cols == s.n &&
         a.batch == b.batch && a.batch == c.batch && a.batch == d.batch && a.type == b.type && a.type == c.type &&
         a.type == d.type && (!tf32 || a.type == CUDA_R_32F);
}

float load(const std::byte* p, cudaDataType_t type) {
  uint32_t bits = 0;
  if (type == CUDA_R_16BF) {
    uint16_t half;
    std::memcpy(&half, p, sizeof half);
    bits = uint32_t{half} << 16;
  } else {
    std::memcpy(&bits, p, sizeof bits);
  }
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

void store(std::byte* p, cudaDataType_t type, float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  if (type != CUDA_R_16BF) {
    std::memcpy(p, &bits, sizeof bits);
    return;
  }
  const uint32_t rounded = std::isnan(v) ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
  const auto half = static_cast<uint16_t>(rounded >> 16);
  std::memcpy(p, &half, sizeof half);
}

// What a tensor core reads of a float: 10 bits of its significand, to nearest.
float as_tf32(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  if (!std::isfinite(v)) return v;
  bits = (bits + 0x1000u) & 0xffffe000u;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

// A column-major matrix of the runner's memory.
struct Matrix {
  const char* name;
  std::byte* p;
  cudaDataType_t type;
  int64_t rows, cols, ld, stride;

  std::byte* at(int64_t item, int64_t i, int64_t j) const {
    return p + (item * stride + j * ld + i) * static_cast<int64_t>(size_of(type));
  }
  // All columns lie in live memory and, where they are read, somebody wrote them.
  void expect(int64_t batch, bool reads) const {
    const size_t bytes = static_cast<size_t>(rows) * size_of(type);
    for (int64_t item = 0; item < batch; ++item)
      for (int64_t j = 0; j < cols; ++j) {
        const std::byte* const column = at(item, 0, j);
        if (!runner::exists(column, bytes))
          fail(Exit::kCheckFailed,
               "[cublasLt] out-of-bounds: column {} of {} ({} x {}, leading dimension {}) of item {}", j, name, rows,
               cols, ld, item);
        if (reads && !runner::written(column, bytes))
          fail(Exit::kCheckFailed,
               "[cublasLt] uninitialised: column {} of {} ({} x {}, leading dimension {}) of item {}", j, name, rows,
               cols, ld, item);
      }
  }
  void mark_written(int64_t batch) const {
    for (int64_t item = 0; item < batch; ++item)
      for (int64_t j = 0; j < cols; ++j)
        runner::set_written(at(item, 0, j), static_cast<size_t>(rows) * size_of(type), true);
  }
};

float gelu_tanh(float x) { return 0.5f * x * (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x))); }

struct Call {
  LtDesc desc;
  Sizes s;
  int64_t batch;
  Matrix a, b, c, d;
  float alpha, beta;
};

int64_t products = 0;

void compute(const Call& call) {
  const auto& [desc, s, batch, a, b, c, d, alpha, beta] = call;
  a.expect(batch, true);
  b.expect(batch, true);
  if (beta != 0) c.expect(batch, true);
  d.expect(batch, false);
  const Matrix bias{"the bias", static_cast<std::byte*>(const_cast<void*>(desc.bias)), d.type, s.m, 1, s.m, 0};
  if (has_bias(desc.epilogue)) bias.expect(1, true);
  const Matrix aux{"aux", static_cast<std::byte*>(desc.aux), d.type, s.m, s.n, desc.aux_ld, desc.aux_stride};
  if (has_aux(desc.epilogue)) aux.expect(batch, false);
  const bool tf32 = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  std::vector<float> left(static_cast<size_t>(s.m * s.k)), right(static_cast<size_t>(s.k * s.n));
  for (int64_t item = 0; item < batch; ++item) {
    const auto factor = [&](const Matrix& from, bool transposed, int64_t i, int64_t j) {
      const float v = load(transposed ? from.at(item, j, i) : from.at(item, i, j), from.type);
      return tf32 ? as_tf32(v) : v;
    };
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t e = 0; e < s.k; ++e)
        left[static_cast<size_t>(i * s.k + e)] = factor(a, desc.transpose_a == CUBLAS_OP_T, i, e);
    for (int64_t j = 0; j < s.n; ++j)
      for (int64_t e = 0; e < s.k; ++e)
        right[static_cast<size_t>(j * s.k + e)] = factor(b, desc.transpose_b == CUBLAS_OP_T, e, j);
    for (int64_t j = 0; j < s.n; ++j)
      for (int64_t i = 0; i < s.m; ++i) {
        float sum = 0;
        for (int64_t e = 0; e < s.k; ++e)
          sum = std::fma(left[static_cast<size_t>(i * s.k + e)], right[static_cast<size_t>(j * s.k + e)], sum);
        float v = alpha * sum;
        if (beta != 0) v += beta * load(c.at(item, i, j), c.type);
        if (has_bias(desc.epilogue)) v += load(bias.at(0, i, 0), bias.type);
        if (has_aux(desc.epilogue)) store(aux.at(item, i, j), aux.type, v);
        if (has_gelu(desc.epilogue)) v = gelu_tanh(v);
        store(d.at(item, i, j), d.type, v);
      }
  }
  d.mark_written(batch);
  if (has_aux(desc.epilogue)) aux.mark_written(batch);
}

bool aligned(const void* p, uint64_t to) { return reinterpret_cast<uintptr_t>(p) % to == 0; }

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new LtHandle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() { return 130000; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_INVALID_VALUE;
  *desc = new LtDesc{.compute = compute};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return read(desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return read(desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return read(desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return read(desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return read(desc->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return read(desc->aux_ld, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE: return read(desc->aux_stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *layout = new LtLayout{type, static_cast<int64_t>(rows), static_cast<int64_t>(cols), ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return read(layout->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return read(layout->stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new LtPreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  uint32_t scheme = 0;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return read(preference->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return read(scheme, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return read(preference->alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return read(preference->alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return read(preference->alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return read(preference->alignment[3], value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  Sizes s;
  if (handle == nullptr || asked < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (!fits(*desc, *a, *b, *c, *d, s)) return CUBLAS_STATUS_NOT_SUPPORTED;
  *count = 0;
  for (uint64_t i = 0; i < 3 && *count < asked; ++i) {
    if (kWorkspaces[i] > preference->workspace) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    result.algo.data[0] = kMagic;
    result.algo.data[1] = i;
    for (int n = 0; n < 4; ++n) result.algo.data[2 + n] = preference->alignment[n];
    result.workspaceSize = kWorkspaces[i];
    result.state = CUBLAS_STATUS_SUCCESS;
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr || desc == nullptr || alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Call call{*desc, {}, d_layout->batch, {}, {}, {}, {}, 0, 0};
  if (!fits(*desc, *a_layout, *b_layout, *c_layout, *d_layout, call.s)) return CUBLAS_STATUS_INVALID_VALUE;
  for (const LtLayout* l : {a_layout, b_layout, c_layout, d_layout})
    if (l->ld < l->rows) return CUBLAS_STATUS_INVALID_VALUE;
  if (algorithm == nullptr || algorithm->data[0] != kMagic || algorithm->data[1] >= 3)
    return CUBLAS_STATUS_INVALID_VALUE;
  const size_t wanted = kWorkspaces[algorithm->data[1]];
  if (workspace_bytes < wanted || (wanted > 0 && workspace == nullptr)) return CUBLAS_STATUS_INVALID_VALUE;
  const void* const operands[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (!aligned(operands[i], algorithm->data[2 + i])) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias(desc->epilogue) && desc->bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (has_aux(desc->epilogue) &&
      (desc->aux == nullptr || desc->aux_ld % 8 != 0 || desc->aux_ld < call.s.m || !aligned(desc->aux, 16)))
    return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&call.alpha, alpha, sizeof call.alpha);
  std::memcpy(&call.beta, beta, sizeof call.beta);
  const auto matrix = [](const char* name, const void* p, const LtLayout& l) {
    return Matrix{name, static_cast<std::byte*>(const_cast<void*>(p)), l.type, l.rows, l.cols, l.ld, l.stride};
  };
  call.a = matrix("A", a, *a_layout);
  call.b = matrix("B", b, *b_layout);
  call.c = matrix("C", c, *c_layout);
  call.d = matrix("D", d, *d_layout);
  on_stream(stream, [call, workspace, wanted] {
    if (wanted > 0) {
      if (!runner::exists(workspace, wanted)) fail(Exit::kCheckFailed, "[cublasLt] out-of-bounds: the workspace");
      std::memset(workspace, 0xA5, wanted);
      runner::set_written(workspace, wanted, true);
    }
    compute(call);
    ++products;
  });
  return CUBLAS_STATUS_SUCCESS;
}

int64_t lt_products() { return products; }

}  // namespace taut::cuda_twin
