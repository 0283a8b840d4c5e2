#include "kernels/cuda/dnn.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/arena.h"
#include "kernels/cuda/dnn_library.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut::TAUT_GPU {
namespace {

std::mutex& dnn_mutex() {
  static std::mutex mutex;
  return mutex;
}
bool& in_use() {
  static bool on = [] {
    const char* text = std::getenv("TAUT_CUDNN");
    return kKind == DeviceKind::kCuda && !(text != nullptr && std::string_view(text) == "0");
  }();
  return on;
}
int64_t plans_made = 0;

}  // namespace

void use_dnn(bool on) { in_use() = on; }
bool dnn_in_use() { return in_use(); }
int64_t dnn_plans() { return plans_made; }

#ifndef TAUT_HAS_DNN
bool dnn_conv2d(Stream, DnnElement, DnnPass, const void*, const void*, const void*, const ConvShape&) { return false; }
#else

namespace {

constexpr int64_t kMostWorkspace = kKind == DeviceKind::kCuda ? int64_t{256} << 20 : int64_t{1} << 16;
constexpr int64_t kX = 1, kW = 2, kY = 3;  // unique ids of the tensors
constexpr int64_t kCandidates = 16;

void expect(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail(Exit::kUnavailable, "[{}] {} failed with status {}; hint: TAUT_CUDNN=0 leaves it to the own kernels", kBackend,
         call, static_cast<int>(status));
}

class Descriptor {
 public:
  Descriptor(const DnnLibrary& dnn, cudnnBackendDescriptorType_t type) : dnn_(&dnn) {
    expect(dnn.descriptor(type, &p_), "cudnnBackendCreateDescriptor");
  }
  ~Descriptor() {
    if (p_ != nullptr) dnn_->destroy(p_);
  }
  Descriptor(Descriptor&& other) noexcept : dnn_(other.dnn_), p_(other.p_) { other.p_ = nullptr; }
  Descriptor& operator=(Descriptor&&) = delete;

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    expect(dnn_->set(p_, name, type, static_cast<int64_t>(values.size()), values.data()), "cudnnBackendSetAttribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    expect(dnn_->set(p_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.p_), "cudnnBackendSetAttribute");
    return *this;
  }
  Descriptor& finalize() {
    expect(dnn_->finalize(p_), "cudnnBackendFinalize");
    return *this;
  }
  bool try_finalize() { return dnn_->finalize(p_) == CUDNN_STATUS_SUCCESS; }
  cudnnBackendDescriptor_t get() const { return p_; }

 private:
  const DnnLibrary* dnn_;
  cudnnBackendDescriptor_t p_ = nullptr;
};

// dims in the order (n, c, h, w), of memory in the order (n, h, w, c).
Descriptor tensor(const DnnLibrary& dnn, cudnnDataType_t type, int64_t id, const std::vector<int64_t>& dims) {
  Descriptor d(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const int64_t c = dims[1], h = dims[2], w = dims[3];
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{type})
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::vector<int64_t>{h * w * c, 1, w * c, c})
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::vector{id})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::vector<int64_t>{16})
      .finalize();
  return d;
}

// Names of an operation's attributes, by pass.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
};
Names names_of(DnnPass pass) {
  switch (pass) {
    case DnnPass::kForward: break;
    case DnnPass::kBackwardInput:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case DnnPass::kBackwardWeight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

// Everything a plan refers to lives as long as it.
struct Plan {
  std::vector<Descriptor> parts;
  std::optional<Descriptor> plan;
  int64_t workspace = 0;
};

// Whether the engine of a configuration gives the same bits in every run, without sums of fewer bits.
bool is_steady(const DnnLibrary& dnn, cudnnBackendDescriptor_t configuration) {
  const Descriptor engine(dnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t p = engine.get();
  int64_t count = 0;
  if (dnn.get(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &p) !=
      CUDNN_STATUS_SUCCESS)
    return false;
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  if (dnn.get(p, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, std::ssize(notes), &count,
              notes.data()) != CUDNN_STATUS_SUCCESS)
    return false;
  notes.resize(static_cast<size_t>(count));
  for (const auto note : notes)
    if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
      return false;
  return true;
}

// The heuristic's first steady configuration whose workspace is not too large; none: plan.plan stays empty.
std::unique_ptr<Plan> make_plan(const DnnLibrary& dnn, cudnnHandle_t handle, DnnElement element, DnnPass pass,
                                const ConvShape& s) {
  auto made = std::make_unique<Plan>();
  const cudnnDataType_t type = element == DnnElement::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  std::vector<Descriptor>& parts = made->parts;
  parts.push_back(tensor(dnn, type, kX, {s.n, s.c_in, s.h, s.w}));
  parts.push_back(tensor(dnn, type, kW, {s.c_out, s.group_in(), s.kh, s.kw}));
  parts.push_back(tensor(dnn, type, kY, {s.n, s.c_out, s.out_h(), s.out_w()}));
  Descriptor conv(dnn, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  using Pair = std::vector<int64_t>;
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{CUDNN_DATA_FLOAT})
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, std::vector{CUDNN_CROSS_CORRELATION})
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::vector<int64_t>{2})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, Pair{s.dilation.h, s.dilation.w})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, Pair{s.stride.h, s.stride.w})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, Pair{s.padding.h, s.padding.w})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64,
           Pair{s.padding.h + s.extra.h, s.padding.w + s.extra.w})
      .finalize();
  parts.push_back(std::move(conv));
  const Names names = names_of(pass);
  Descriptor operation(dnn, names.operation);
  operation.set(names.conv, parts[3])
      .set(names.x, parts[0])
      .set(names.w, parts[1])
      .set(names.y, parts[2])
      .set(names.alpha, CUDNN_TYPE_FLOAT, std::vector{1.0f})
      .set(names.beta, CUDNN_TYPE_FLOAT, std::vector{0.0f})
      .finalize();
  parts.push_back(std::move(operation));
  Descriptor graph(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, std::vector{handle})
      .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, parts[4]);
  if (!graph.try_finalize()) return made;
  parts.push_back(std::move(graph));
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor heuristic(dnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, parts[5])
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, std::vector{mode});
    if (!heuristic.try_finalize()) continue;
    std::vector<Descriptor> configurations;
    std::vector<cudnnBackendDescriptor_t> pointers;
    for (int64_t i = 0; i < kCandidates; ++i) {
      configurations.emplace_back(dnn, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
      pointers.push_back(configurations.back().get());
    }
    int64_t count = 0;
    if (dnn.get(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, kCandidates, &count,
                pointers.data()) != CUDNN_STATUS_SUCCESS)
      continue;
    for (int64_t i = 0; i < count && i < kCandidates; ++i) {
      Descriptor& configuration = configurations[static_cast<size_t>(i)];
      if (!is_steady(dnn, configuration.get())) continue;
      Descriptor plan(dnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, std::vector{handle})
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      int64_t one = 0;
      if (!plan.try_finalize() || dnn.get(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                          &one, &made->workspace) != CUDNN_STATUS_SUCCESS)
        continue;
      if (made->workspace > kMostWorkspace) continue;
      parts.push_back(std::move(configuration));
      made->plan.emplace(std::move(plan));
      return made;
    }
  }
  return made;
}

cudnnHandle_t handle_of(const DnnLibrary& dnn, int device) {
  static std::map<int, cudnnHandle_t> handles;
  auto [it, is_new] = handles.try_emplace(device, nullptr);
  if (is_new) expect(dnn.create(&it->second), "cudnnCreate");
  return it->second;
}

std::string key_of(int device, DnnElement element, DnnPass pass, const ConvShape& s) {
  const auto pair = [](HW v) { return fmt::format("{},{}", v.h, v.w); };
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", device, static_cast<int>(element),
                     static_cast<int>(pass), s.n, s.h, s.w, s.c_in, s.c_out, s.kh, s.kw, pair(s.stride),
                     pair(s.padding), pair(s.dilation), s.groups, pair(s.extra));
}

}  // namespace

bool dnn_conv2d(Stream stream, DnnElement element, DnnPass pass, const void* x, const void* w, const void* y,
                const ConvShape& s) {
  const DnnLibrary* const dnn = dnn_in_use() ? dnn_library() : nullptr;
  if (dnn == nullptr || s.n == 0) return false;
  for (const void* p : {x, w, y})
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  const std::lock_guard lock(dnn_mutex());
  const int device = device_in_use();
  const cudnnHandle_t handle = handle_of(*dnn, device);
  static auto* const plans = new std::map<std::string, std::unique_ptr<Plan> >;  // outlives the library's own end
  std::unique_ptr<Plan>& plan = (*plans)[key_of(device, element, pass, s)];
  if (plan == nullptr) {
    plan = make_plan(*dnn, handle, element, pass, s);
    ++plans_made;
  }
  if (!plan->plan.has_value()) return false;
  const Device where{kKind, device};
  struct Workspace {
    void* p;
    Device device;
    ~Workspace() { arena_release(p, device); }
  } const workspace{arena_allocate(static_cast<size_t>(plan->workspace), where), where};
  Descriptor pack(*dnn, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::vector<int64_t>{kX, kW, kY})
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
           std::vector<void*>{const_cast<void*>(x), const_cast<void*>(w), const_cast<void*>(y)})
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, std::vector<void*>{workspace.p})
      .finalize();
  expect(dnn->set_stream(handle, static_cast<cudaStream_t>(stream.handle)), "cudnnSetStream");
  expect(dnn->execute(handle, plan->plan->get(), pack.get()), "cudnnBackendExecute");
  return true;
}
#endif

}  // namespace taut::TAUT_GPU
