#include <fmt/format.h>

#include "kernels/cuda/dnn_plan.h"
#include "kernels/error.h"

namespace taut::TAUT_GPU {

// The operation is younger than cuDNN 9.0; this is the version whose header it was written from.
#if !defined(TAUT_HAS_DNN) || (!defined(TAUT_CUDA_TWIN) && CUDNN_VERSION < 91900)
bool dnn_attention(Stream, const void*, void*, const AttentionShape&) { return false; }
#else

namespace {

constexpr int64_t kQ = 1, kK = 2, kV = 3, kOut = 4, kScale = 5;  // unique ids of the tensors

void add_operation(std::vector<DnnDescriptor>& parts, const DnnLibrary& dnn, const AttentionShape& s) {
  // (b, heads, t, d) of a fused (b, t, 3, heads, d), and of (b, t, heads, d).
  const auto add = [&](int64_t id, int64_t in_a_token) {
    const std::vector<int64_t> dims{s.b, s.heads, s.t, s.d}, strides{s.t * in_a_token, s.d, in_a_token, 1};
    parts.push_back(dnn_tensor(dnn, CUDNN_DATA_BFLOAT16, id, dims, strides));
  };
  for (const int64_t id : {kQ, kK, kV}) add(id, 3 * s.heads * s.d);
  add(kOut, s.heads * s.d);
  DnnDescriptor scale(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const std::vector<int64_t> ones(4, 1);
  scale.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{CUDNN_DATA_FLOAT})
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, ones)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, ones)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::vector{kScale})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::vector<int64_t>{16})
      .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, std::vector<char>{1})
      .finalize();
  parts.push_back(std::move(scale));
  DnnDescriptor operation(dnn, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, parts[0])
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, parts[1])
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, parts[2])
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, parts[3])
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, parts[4])
      .finalize();
  parts.push_back(std::move(operation));
}

}  // namespace

bool dnn_attention(Stream stream, const void* qkv, void* out, const AttentionShape& s) {
  const DnnLibrary* const dnn = dnn_in_use() ? dnn_library() : nullptr;
  if (dnn == nullptr || s.b == 0 || s.tq != s.t || s.d % 8 != 0) return false;
  for (const void* p : {qkv, static_cast<const void*>(out)})
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  constexpr int64_t kBytes = 2;
  const auto part = [&](int64_t i) { return static_cast<const char*>(qkv) + i * s.heads * s.d * kBytes; };
  alignas(16) const auto scale = static_cast<float>(s.scale);
  const std::string key = fmt::format("attention {} {} {} {}", s.b, s.t, s.heads, s.d);
  const auto operation = [&](std::vector<DnnDescriptor>& parts) {
    try {
      add_operation(parts, *dnn, s);
      return true;
    } catch (const Error& e) {
      if (e.code() != Exit::kUnavailable) throw;
      return false;  // a library that is older than its header does not know it
    }
  };
  return run_dnn_plan(*dnn, stream, DnnElement::kBF16, key, operation,
                      {{kQ, part(0)}, {kK, part(1)}, {kV, part(2)}, {kOut, out}, {kScale, &scale}});
}
#endif

}  // namespace taut::TAUT_GPU
