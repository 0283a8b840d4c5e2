#include "kernels/cuda/dnn_plan.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>

#include "kernels/arena.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut::TAUT_GPU {
namespace {

bool& in_use() {
  static bool on = [] {
    const char* text = std::getenv("TAUT_CUDNN");
    return kKind == DeviceKind::kCuda && !(text != nullptr && std::string_view(text) == "0");
  }();
  return on;
}
int64_t plans_made = 0, plans_run = 0;

}  // namespace

void use_dnn(bool on) { in_use() = on; }
bool dnn_in_use() { return in_use(); }
int64_t dnn_plans() { return plans_made; }
int64_t dnn_calls() { return plans_run; }

#ifdef TAUT_HAS_DNN

namespace {

constexpr int64_t kMostWorkspace = kKind == DeviceKind::kCuda ? int64_t{256} << 20 : int64_t{1} << 16;
constexpr int64_t kCandidates = 16;

std::mutex& dnn_mutex() {
  static std::mutex mutex;
  return mutex;
}

// Whether the engine of a configuration gives the same bits in every run, without sums of fewer bits, of floats without
// factors of fewer bits than asked for, and in f32 without tensor cores, which would round factors to tf32.
bool is_fit(const DnnLibrary& dnn, DnnElement element, cudnnBackendDescriptor_t configuration) {
  const DnnDescriptor engine(dnn, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
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
    if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
        (note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS && element != DnnElement::kBF16) ||
        (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && element == DnnElement::kF32))
      return false;
  return true;
}

std::unique_ptr<DnnPlan> make_plan(const DnnLibrary& dnn, cudnnHandle_t handle, DnnElement element,
                                   const DnnOperation& operation) {
  auto made = std::make_unique<DnnPlan>();
  std::vector<DnnDescriptor>& parts = made->parts;
  if (!operation(parts)) return made;
  DnnDescriptor graph(dnn, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, std::vector{handle})
      .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, parts.back());
  if (!graph.try_finalize()) return made;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    DnnDescriptor heuristic(dnn, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, std::vector{mode});
    if (!heuristic.try_finalize()) continue;
    std::vector<DnnDescriptor> configurations;
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
      DnnDescriptor& configuration = configurations[static_cast<size_t>(i)];
      if (!is_fit(dnn, element, configuration.get())) continue;
      DnnDescriptor plan(dnn, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, std::vector{handle})
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      int64_t one = 0;
      if (!plan.try_finalize() || dnn.get(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                          &one, &made->workspace) != CUDNN_STATUS_SUCCESS)
        continue;
      if (made->workspace > kMostWorkspace) continue;
      parts.push_back(std::move(graph));
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
  if (is_new) expect_dnn(dnn.create(&it->second), "cudnnCreate");
  return it->second;
}

}  // namespace

void expect_dnn(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail(Exit::kUnavailable, "[{}] {} failed with status {}; hint: TAUT_CUDNN=0 leaves it to the own kernels", kBackend,
         call, static_cast<int>(status));
}

DnnDescriptor dnn_tensor(const DnnLibrary& dnn, cudnnDataType_t type, int64_t id, const std::vector<int64_t>& dims,
                         const std::vector<int64_t>& strides) {
  DnnDescriptor d(dnn, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, std::vector{type})
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::vector{id})
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, std::vector<int64_t>{16})
      .finalize();
  return d;
}

bool run_dnn_plan(const DnnLibrary& dnn, Stream stream, DnnElement element, const std::string& key,
                  const DnnOperation& operation, const std::vector<DnnOperand>& operands) {
  const std::lock_guard lock(dnn_mutex());
  const int device = device_in_use();
  const cudnnHandle_t handle = handle_of(dnn, device);
  static auto* const plans = new std::map<std::string, std::unique_ptr<DnnPlan>>;  // outlives the library's own end
  std::unique_ptr<DnnPlan>& plan = (*plans)[fmt::format("{} {} {}", device, static_cast<int>(element), key)];
  if (plan == nullptr) {
    plan = make_plan(dnn, handle, element, operation);
    ++plans_made;
  }
  if (!plan->plan.has_value()) return false;
  const Device where{kKind, device};
  struct Workspace {
    void* p;
    Device device;
    ~Workspace() { arena_release(p, device); }
  } const workspace{arena_allocate(static_cast<size_t>(plan->workspace), where), where};
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const DnnOperand& operand : operands) {
    ids.push_back(operand.id);
    pointers.push_back(const_cast<void*>(operand.p));
  }
  DnnDescriptor pack(dnn, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, std::vector<void*>{workspace.p})
      .finalize();
  expect_dnn(dnn.set_stream(handle, static_cast<cudaStream_t>(stream.handle)), "cudnnSetStream");
  expect_dnn(dnn.execute(handle, plan->plan->get(), pack.get()), "cudnnBackendExecute");
  end_call(stream, "cudnnBackendExecute");
  ++plans_run;
  return true;
}
#endif

}  // namespace taut::TAUT_GPU
