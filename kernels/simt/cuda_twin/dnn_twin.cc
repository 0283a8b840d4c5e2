#include "kernels/simt/cuda_twin/dnn_twin.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/error.h"
#include "kernels/simt/memory.h"

namespace taut::cuda_twin {

struct DnnHandle {
  cudaStream_t stream = nullptr;
};

namespace {

struct Attribute {
  cudnnBackendAttributeType_t type;
  int64_t count;
  std::vector<std::byte> bytes;
};
// What a descriptor says. Another that refers to it keeps it: its own may be destroyed then, as cuDNN's may.
struct Contents {
  cudnnBackendDescriptorType_t type;
  bool finalised = false;
  int64_t engine = -1;  // of an engine or its configuration
  std::map<int, Attribute> attributes;
  std::map<int, std::shared_ptr<Contents>> others;
};

}  // namespace

struct BackendDescriptor {
  std::shared_ptr<Contents> contents;
};

namespace {

// What the heuristic offers, the first before the others though they are traps: one whose sums have another order in
// every run, one that wants too large a workspace, one that makes halves of floats.
constexpr int64_t kEngines = 5, kWorkspaces[kEngines] = {0, int64_t{1} << 40, 512, 512, 0};
constexpr int64_t kUnsteady = 0, kHalves = 2, kWithoutTensorCores = 4;

size_t element_bytes(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64: return sizeof(int64_t);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return sizeof(void*);
    case CUDNN_TYPE_BOOLEAN: return sizeof(bool);
    case CUDNN_TYPE_DATA_TYPE:
    case CUDNN_TYPE_FLOAT:
    case CUDNN_TYPE_CONVOLUTION_MODE:
    case CUDNN_TYPE_HEUR_MODE:
    case CUDNN_TYPE_NUMERICAL_NOTE: return sizeof(int);
  }
  return 0;
}

// Attribute, type and number of elements that a descriptor must have when it is finalised, or may; 0: any number.
struct Needed {
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t count;
  bool optional = false;
};
std::vector<Needed> needed(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
              {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4},
              {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4},
              {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1},
              {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1},
              {CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, true}};
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return {{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1},
              {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1},
              {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1},
              {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2},
              {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2},
              {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2},
              {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2}};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR: {
      const int first = type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR         ? 700
                        : type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? 706
                                                                                               : 712;
      std::vector<Needed> all;
      for (int i = 0; i < 6; ++i)
        all.push_back({static_cast<cudnnBackendAttributeName_t>(first + i),
                       i < 2 ? CUDNN_TYPE_FLOAT : CUDNN_TYPE_BACKEND_DESCRIPTOR, 1});
      return all;
    }
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR:
      return {{CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
              {CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
              {CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
              {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
              {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1}};
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return {{CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1},
              {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1}};
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      return {{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1},
              {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1}};
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return {{CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1},
              {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1}};
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return {{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 0},
              {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 0},
              {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1}};
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: break;  // the heuristic fills them
  }
  return {};
}

template <class T>
std::vector<T> values(const Contents& c, int name) {
  const Attribute& a = c.attributes.at(name);
  std::vector<T> all(static_cast<size_t>(a.count));
  std::memcpy(all.data(), a.bytes.data(), a.bytes.size());
  return all;
}

// A tensor of an operation, with the memory it stands for.
struct TensorView {
  const char* name = "";
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  int64_t id = 0, alignment = 0;
  std::vector<int64_t> dims, strides;
  std::byte* p = nullptr;

  size_t bytes() const { return type == CUDNN_DATA_BFLOAT16 ? 2 : 4; }
  std::byte* at(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return p + (n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3]) * static_cast<int64_t>(bytes());
  }
  float load(int64_t n, int64_t c, int64_t h, int64_t w) const {
    const std::byte* const from = at(n, c, h, w);
    if (!runner::written(from, bytes()))
      fail(Exit::kCheckFailed, "[cudnn] {}: ({}, {}, {}, {}) of {}",
           runner::exists(from, bytes()) ? "uninitialised" : "out-of-bounds", n, c, h, w, name);
    uint32_t bits = 0;
    std::memcpy(reinterpret_cast<std::byte*>(&bits) + (4 - bytes()), from, bytes());  // bf16: the upper half
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  void store(int64_t n, int64_t c, int64_t h, int64_t w, float v) const {
    std::byte* const to = at(n, c, h, w);
    if (!runner::exists(to, bytes()))
      fail(Exit::kCheckFailed, "[cudnn] out-of-bounds: ({}, {}, {}, {}) of {}", n, c, h, w, name);
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    if (bytes() == 2) bits = std::isnan(v) ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
    std::memcpy(to, reinterpret_cast<const std::byte*>(&bits) + (4 - bytes()), bytes());
    runner::set_written(to, bytes(), true);
  }
};

TensorView view(const char* name, const Contents& c) {
  return {name,
          values<cudnnDataType_t>(c, CUDNN_ATTR_TENSOR_DATA_TYPE)[0],
          values<int64_t>(c, CUDNN_ATTR_TENSOR_UNIQUE_ID)[0],
          values<int64_t>(c, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)[0],
          values<int64_t>(c, CUDNN_ATTR_TENSOR_DIMENSIONS),
          values<int64_t>(c, CUDNN_ATTR_TENSOR_STRIDES),
          nullptr};
}

struct Operation {
  cudnnBackendDescriptorType_t kind;
  TensorView x, w, y;
  std::vector<int64_t> stride, pre, post, dilation;
  float alpha = 1, beta = 0;

  explicit Operation(const Contents& op) : kind(op.type) {
    const bool forward = kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    const bool data = kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    const auto name = [&](cudnnBackendAttributeName_t f, cudnnBackendAttributeName_t d,
                          cudnnBackendAttributeName_t w_) {
      return static_cast<int>(forward ? f : data ? d : w_);
    };
    const auto tensor_at = [&](const char* what, int attribute) { return view(what, *op.others.at(attribute)); };
    x = tensor_at("x", name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X));
    w = tensor_at("w", name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW));
    y = tensor_at("y", name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY));
    alpha = values<float>(
        op, name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA))[0];
    beta = values<float>(
        op, name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA))[0];
    const Contents& conv = *op.others.at(name(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC));
    stride = values<int64_t>(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    pre = values<int64_t>(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    post = values<int64_t>(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    dilation = values<int64_t>(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS);
  }

  bool fits() const {
    if (x.type != w.type || x.type != y.type || x.dims[0] != y.dims[0] || w.dims[0] != y.dims[1]) return false;
    if (x.dims[1] % w.dims[1] != 0 || w.dims[0] % (x.dims[1] / w.dims[1]) != 0 || beta != 0) return false;
    for (size_t i = 0; i < 2; ++i) {
      const int64_t reach = dilation[i] * (w.dims[2 + i] - 1) + 1, padded = x.dims[2 + i] + pre[i] + post[i];
      if (padded < reach || y.dims[2 + i] != (padded - reach) / stride[i] + 1) return false;
    }
    return true;
  }

  // f(n, o, i, j, c within the group, c, r, s, row of x, column of x) for every product of the convolution.
  template <class F>
  void each(F&& f) const {
    const int64_t in = w.dims[1], groups = x.dims[1] / in, out = w.dims[0] / groups;
    for (int64_t n = 0; n < y.dims[0]; ++n)
      for (int64_t o = 0; o < y.dims[1]; ++o)
        for (int64_t i = 0; i < y.dims[2]; ++i)
          for (int64_t j = 0; j < y.dims[3]; ++j)
            for (int64_t r = 0; r < w.dims[2]; ++r)
              for (int64_t s = 0; s < w.dims[3]; ++s) {
                const int64_t row = i * stride[0] - pre[0] + r * dilation[0];
                const int64_t col = j * stride[1] - pre[1] + s * dilation[1];
                if (row < 0 || row >= x.dims[2] || col < 0 || col >= x.dims[3]) continue;
                for (int64_t c = 0; c < in; ++c) f(n, o, i, j, c, o / out * in + c, r, s, row, col);
              }
  }
};

// Factors as a tensor core reads floats.
float as_factor(const TensorView& t, float v) {
  if (t.type == CUDNN_DATA_BFLOAT16 || !std::isfinite(v)) return v;
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  bits = (bits + 0x1000u) & 0xffffe000u;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

int64_t convolutions = 0;

void compute(const Operation& op, bool tensor_cores) {
  const bool forward = op.kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  const bool data = op.kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
  const TensorView& to = forward ? op.y : data ? op.x : op.w;
  std::vector<float> sums(static_cast<size_t>(to.dims[0] * to.dims[1] * to.dims[2] * to.dims[3]));
  const auto sum_at = [&](int64_t a, int64_t b, int64_t c, int64_t d) -> float& {
    return sums[static_cast<size_t>(((a * to.dims[1] + b) * to.dims[2] + c) * to.dims[3] + d)];
  };
  op.each([&](int64_t n, int64_t o, int64_t i, int64_t j, int64_t within, int64_t c, int64_t r, int64_t s, int64_t row,
              int64_t col) {
    const auto factor = [&](const TensorView& t, float v) { return tensor_cores ? as_factor(t, v) : v; };
    const auto x = [&] { return factor(op.x, op.x.load(n, c, row, col)); };
    const auto w = [&] { return factor(op.w, op.w.load(o, within, r, s)); };
    const auto y = [&] { return factor(op.y, op.y.load(n, o, i, j)); };
    float& sum = forward ? sum_at(n, o, i, j) : data ? sum_at(n, c, row, col) : sum_at(o, within, r, s);
    sum = forward ? std::fma(x(), w(), sum) : data ? std::fma(y(), w(), sum) : std::fma(y(), x(), sum);
  });
  for (int64_t a = 0; a < to.dims[0]; ++a)
    for (int64_t b = 0; b < to.dims[1]; ++b)
      for (int64_t c = 0; c < to.dims[2]; ++c)
        for (int64_t d = 0; d < to.dims[3]; ++d) to.store(a, b, c, d, op.alpha * sum_at(a, b, c, d));
}

// Attention: tensors q, k, v and out, and a scale by value.
struct Attention {
  TensorView q, k, v, out, scale;
  bool scale_by_value;

  explicit Attention(const Contents& op)
      : q(view("q", *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC))),
        k(view("k", *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC))),
        v(view("v", *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC))),
        out(view("out", *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC))),
        scale(view("scale", *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC))) {
    const Contents& number = *op.others.at(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC);
    scale_by_value = number.attributes.contains(CUDNN_ATTR_TENSOR_IS_BY_VALUE) &&
                     values<char>(number, CUDNN_ATTR_TENSOR_IS_BY_VALUE)[0] != 0;
  }

  bool fits() const {
    for (const TensorView* t : {&q, &k, &v, &out})
      if (t->type != CUDNN_DATA_BFLOAT16 || t->strides[3] != 1 || t->dims[3] % 8 != 0) return false;
    return k.dims == v.dims && q.dims == out.dims && q.dims[0] == k.dims[0] && q.dims[1] == k.dims[1] &&
           q.dims[3] == k.dims[3] && scale.type == CUDNN_DATA_FLOAT && scale_by_value &&
           scale.dims == std::vector<int64_t>(4, 1);
  }

  void compute(float factor) const {
    const int64_t keys = k.dims[2], d = q.dims[3];
    std::vector<float> p(static_cast<size_t>(keys));
    for (int64_t b = 0; b < q.dims[0]; ++b)
      for (int64_t h = 0; h < q.dims[1]; ++h)
        for (int64_t i = 0; i < q.dims[2]; ++i) {
          float most = -INFINITY, sum = 0;
          for (int64_t j = 0; j < keys; ++j) {
            float score = 0;
            for (int64_t c = 0; c < d; ++c) score += q.load(b, h, i, c) * k.load(b, h, j, c);
            p[static_cast<size_t>(j)] = score * factor;
            most = std::max(most, score * factor);
          }
          for (float& x : p) sum += x = std::exp(x - most);
          for (int64_t c = 0; c < d; ++c) {
            float y = 0;
            for (int64_t j = 0; j < keys; ++j) y += p[static_cast<size_t>(j)] / sum * v.load(b, h, j, c);
            out.store(b, h, i, c, y);
          }
        }
  }
};

const Contents& operation_of(const Contents& graph) { return *graph.others.at(CUDNN_ATTR_OPERATIONGRAPH_OPS); }

bool is_attention(const Contents& op) { return op.type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR; }

// The memory that a variant pack has for the tensor; false where it has none, or none so aligned.
bool bind(TensorView& tensor, const Contents& pack) {
  const auto ids = values<int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto pointers = values<void*>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  const auto at = std::find(ids.begin(), ids.end(), tensor.id);
  if (at == ids.end()) return false;
  tensor.p = static_cast<std::byte*>(pointers[static_cast<size_t>(at - ids.begin())]);
  return tensor.p != nullptr && reinterpret_cast<uintptr_t>(tensor.p) % static_cast<uintptr_t>(tensor.alignment) == 0;
}

}  // namespace

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = new DnnHandle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM;
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  if (is_to_fail("cudnnBackendCreateDescriptor")) return CUDNN_STATUS_NOT_SUPPORTED;
  *descriptor = new BackendDescriptor{std::make_shared<Contents>(Contents{type, false, -1, {}, {}})};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* elements) {
  Contents& c = *descriptor->contents;
  const std::vector<Needed> all = needed(c.type);
  const auto known = std::find_if(all.begin(), all.end(), [&](const Needed& n) { return n.name == name; });
  if (c.finalised || known == all.end() || known->type != type || count < 1 || elements == nullptr ||
      (known->count > 0 && known->count != count))
    return CUDNN_STATUS_BAD_PARAM;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    cudnnBackendDescriptor_t other = nullptr;
    std::memcpy(&other, elements, sizeof other);
    if (other == nullptr || !other->contents->finalised) return CUDNN_STATUS_BAD_PARAM;
    c.others[name] = other->contents;
    return CUDNN_STATUS_SUCCESS;
  }
  const auto* bytes = static_cast<const std::byte*>(elements);
  c.attributes[name] = {type, count, {bytes, bytes + static_cast<size_t>(count) * element_bytes(type)}};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Contents& c = *descriptor->contents;
  for (const Needed& n : needed(c.type)) {
    if (n.optional) continue;
    const bool is_other = n.type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
    if (is_other ? !c.others.contains(n.name) : !c.attributes.contains(n.name)) return CUDNN_STATUS_BAD_PARAM;
  }
  if (c.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    const Contents& op = operation_of(c);
    if (!(is_attention(op) ? Attention(op).fits() : Operation(op).fits())) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  if (c.type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR &&
      c.attributes.at(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).count !=
          c.attributes.at(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).count)
    return CUDNN_STATUS_BAD_PARAM;
  if (c.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
    c.engine = c.others.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->engine;
  c.finalised = true;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t asked, int64_t* count,
                                       void* elements) {
  const std::shared_ptr<Contents>& c = descriptor->contents;
  if (!c->finalised || count == nullptr || elements == nullptr || asked < 1) return CUDNN_STATUS_BAD_PARAM;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    auto* const results = static_cast<cudnnBackendDescriptor_t*>(elements);
    *count = std::min(asked, kEngines);
    for (int64_t i = 0; i < *count; ++i) {
      if (results[i] == nullptr || results[i]->contents->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
        return CUDNN_STATUS_BAD_PARAM;
      results[i]->contents->engine = i;
      results[i]->contents->others[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH] =
          c->others.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      results[i]->contents->finalised = true;
    }
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    auto* const engine = static_cast<cudnnBackendDescriptor_t*>(elements);
    if (*engine == nullptr || (*engine)->contents->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR)
      return CUDNN_STATUS_BAD_PARAM;
    (*engine)->contents->engine = c->engine;
    (*engine)->contents->finalised = true;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
    *count = c->engine == kWithoutTensorCores ? 0 : 1;
    const auto note = c->engine == kUnsteady ? CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
                      : c->engine == kHalves ? CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS
                                             : CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    std::memcpy(elements, &note, sizeof note);
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
    *count = 1;
    std::memcpy(elements, &kWorkspaces[c->engine], sizeof(int64_t));
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  if (handle == nullptr || !plan->contents->finalised || !pack->contents->finalised) return CUDNN_STATUS_BAD_PARAM;
  if (is_to_fail("cudnnBackendExecute")) return CUDNN_STATUS_EXECUTION_FAILED;
  const Contents& p = *pack->contents;
  const Contents& configuration = *plan->contents->others.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const Contents& described = operation_of(*configuration.others.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH));
  const int64_t engine = plan->contents->engine;
  if (engine == kUnsteady) fail(Exit::kCheckFailed, "[cudnn] an engine runs that gives other bits in every run");
  std::function<void()> work;
  if (is_attention(described)) {
    Attention attention(described);
    for (TensorView* t : {&attention.q, &attention.k, &attention.v, &attention.out, &attention.scale})
      if (!bind(*t, p)) return CUDNN_STATUS_BAD_PARAM;
    float factor;  // read now: it is host memory, which the caller may change when this returns
    std::memcpy(&factor, attention.scale.p, sizeof factor);
    work = [attention, factor] { attention.compute(factor); };
  } else {
    Operation op(described);
    for (TensorView* t : {&op.x, &op.w, &op.y})
      if (!bind(*t, p)) return CUDNN_STATUS_BAD_PARAM;
    if (engine == kHalves && op.x.type == CUDNN_DATA_FLOAT)
      fail(Exit::kCheckFailed, "[cudnn] an engine runs that makes halves of floats");
    work = [op, tensor_cores = engine != kWithoutTensorCores] {
      compute(op, tensor_cores);
      ++convolutions;
    };
  }
  void* const workspace = values<void*>(p, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)[0];
  const auto wanted = static_cast<size_t>(kWorkspaces[engine]);
  if (wanted > 0 && workspace == nullptr) return CUDNN_STATUS_BAD_PARAM;
  on_stream(handle->stream, [work, workspace, wanted] {
    if (wanted > 0) {
      if (!runner::exists(workspace, wanted)) fail(Exit::kCheckFailed, "[cudnn] out-of-bounds: the workspace");
      std::memset(workspace, 0xA5, wanted);
      runner::set_written(workspace, wanted, true);
    }
    work();
  });
  return CUDNN_STATUS_SUCCESS;
}

int64_t dnn_convolutions() { return convolutions; }

}  // namespace taut::cuda_twin
