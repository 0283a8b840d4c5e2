#include "kernels/simt/cuda_twin/cuda_twin.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "kernels/error.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/sites.h"

namespace taut::cuda_twin {

using Work = std::function<void()>;
using Clock = std::chrono::steady_clock;

struct CUgraph_st {
  std::vector<Work> nodes;
};
struct CUgraphExec_st {
  std::vector<Work> nodes;
};
struct CUstream_st {
  std::deque<Work> waiting;
  std::unique_ptr<CUgraph_st> captured;  // while it is captured
  bool spoilt = false;                   // the capture was
};
// A point in a stream's work, as an event was recorded there.
struct Mark {
  CUstream_st* stream = nullptr;  // null where all before it is done
  size_t left = 0;                // pieces of work of that stream before it
  Clock::time_point reached;      // when it was
};
struct CUevent_st {
  std::shared_ptr<Mark> mark = std::make_shared<Mark>();
  bool timed = true, recorded = false;
};

namespace {

constexpr size_t kSharedWithoutAsking = 48 << 10;
constexpr int kVersion = 13000;

struct Failure {
  int64_t nth = 0;
  cudaError_t error = cudaSuccess;
  bool and_after = false;
};

struct Twin {
  bool deferred = false;
  cudaError_t last = cudaSuccess, sticky = cudaSuccess;
  std::map<std::string, Failure> failures;
  std::map<std::string, int64_t> calls;
  CUstream_st legacy;  // stream 0
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::weak_ptr<Mark>> marks;  // that are not reached
  std::map<const char*, size_t> pinned;
  std::map<const void*, size_t> shared_allowed;
  std::map<const void*, std::string> names;
};

void read_failures(Twin& twin) {
  const char* text = std::getenv("TAUT_SIMT_FAIL");
  if (text == nullptr || *text == '\0') return;
  char function[64] = {}, plus[2] = {};
  long nth = 0;
  int error = 0;
  if (std::sscanf(text, "%63[A-Za-z]:%ld%1[+]:%d", function, &nth, plus, &error) != 4) {
    plus[0] = '\0';
    if (std::sscanf(text, "%63[A-Za-z]:%ld:%d", function, &nth, &error) != 3)
      fail(Exit::kUsage, "[TAUT_SIMT_FAIL] expected FUNCTION:N:ERROR or FUNCTION:N+:ERROR, got '{}'", text);
  }
  twin.failures[function] = {nth, static_cast<cudaError_t>(error), plus[0] == '+'};
}

// A number of the environment in [least, most], or what stands in for it.
int setting(const char* name, int otherwise, int least, int most) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < least || value > most)
    fail(Exit::kUsage, "[{}] expected a number of {} to {}, got '{}'", name, least, most, text);
  return static_cast<int>(value);
}

// Compute capability, 10 x major + minor, and shared memory a block, as an H100 has them.
int capability() {
  static const int found = setting("TAUT_SIMT_SM", 90, 50, 999);
  return found;
}
int most_shared() {
  static const int found = setting("TAUT_SIMT_SHARED", 227, 48, 227) << 10;
  return found;
}

// Copies and fills touch bytes that somebody owns, and the host reads nothing that nobody wrote: the arena's gaps and
// marks say so, while the detectors are on.
bool watches_copies = true;

void expect_owned(const char* call, const void* p, size_t bytes, bool is_read) {
  if (!watches_copies || !runner::detectors() || bytes == 0) return;
  if (!runner::exists(p, bytes))
    fail(Exit::kCheckFailed, "[simt] {}: out-of-bounds: {} bytes at {}, of which some belong to nobody", call, bytes,
         p);
  if (is_read && !runner::written(p, bytes))
    fail(Exit::kCheckFailed, "[simt] {}: uninitialised: {} bytes at {}, of which nobody wrote some", call, bytes, p);
}

// A copy inside the device takes along which bytes were written.
void copy_written(void* to, const void* from, size_t bytes) {
  if (!runner::detectors() || runner::written(from, bytes)) return runner::set_written(to, bytes, true);
  for (size_t i = 0; i < bytes; ++i)
    runner::set_written(static_cast<char*>(to) + i, 1, runner::written(static_cast<const char*>(from) + i, 1));
}

Twin& twin() {
  static Twin* const t = [] {
    auto* fresh = new Twin;
    read_failures(*fresh);
    capability();  // a wrong setting is told of at once
    most_shared();
    return fresh;
  }();
  return *t;
}

bool is_sticky(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorMisalignedAddress || error == cudaErrorLaunchFailure ||
         error == cudaErrorECCUncorrectable;
}

cudaError_t returned(cudaError_t error) {
  if (error == cudaSuccess) return error;
  twin().last = error;
  if (is_sticky(error)) twin().sticky = error;
  return error;
}

// What the call fails with before it does anything.
cudaError_t failure_of(const char* function) {
  Twin& t = twin();
  if (t.sticky != cudaSuccess) return t.sticky;
  if (t.failures.empty()) return cudaSuccess;
  const auto it = t.failures.find(function);
  if (it == t.failures.end()) return cudaSuccess;
  const int64_t call = ++t.calls[function];
  const bool fails = it->second.and_after ? call >= it->second.nth : call == it->second.nth;
  return fails ? it->second.error : cudaSuccess;
}

CUstream_st& stream_of(cudaStream_t stream) { return stream == nullptr ? twin().legacy : *stream; }

// One piece of the stream's work; marks that follow it come nearer.
void run_one(CUstream_st& s) {
  const Work work = std::move(s.waiting.front());
  s.waiting.pop_front();
  std::vector<std::shared_ptr<Mark>> reached;
  std::erase_if(twin().marks, [&](const std::weak_ptr<Mark>& known) {
    const std::shared_ptr<Mark> mark = known.lock();
    if (mark != nullptr && mark->stream == &s && --mark->left == 0) {
      mark->stream = nullptr;
      reached.push_back(mark);
    }
    return mark == nullptr || mark->stream == nullptr;
  });
  work();
  for (const auto& mark : reached) mark->reached = Clock::now();
}

void run_all(CUstream_st& s) {
  while (!s.waiting.empty()) run_one(s);
}

cudaError_t wait_for(CUstream_st& s) {
  if (s.captured != nullptr) {
    s.spoilt = true;
    return returned(cudaErrorStreamCaptureUnsupported);
  }
  run_all(s);
  return cudaSuccess;
}

bool is_pinned(const void* p) {
  const auto& pinned = twin().pinned;
  auto after = pinned.upper_bound(static_cast<const char*>(p));
  if (after == pinned.begin()) return false;
  --after;
  return static_cast<const char*>(p) < after->first + after->second;
}

bool on_device(const void* p) { return runner::memory().contains(reinterpret_cast<uintptr_t>(p)); }

// The arguments of a launch lie in the frame above the runner's, which is where it lets device code read them.
void run_kernel(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, void (*thunk)(void*),
                const std::vector<std::byte>& closure) {
  constexpr size_t kMostArguments = 4096 + 64;  // CUDA's, and what a closure has besides
  alignas(16) std::byte copy[kMostArguments];
  TAUT_CHECK(closure.size() <= kMostArguments, "[simt] expected at most {} bytes of arguments, got {}", kMostArguments,
             closure.size());
  std::memcpy(copy, closure.data(), closure.size());
  runner::run_grid(kernel, grid, block, shared_bytes, thunk, copy);
}

struct Named {
  cudaError_t error;
  const char *name, *words;
};
constexpr Named kNames[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorUnsupportedPtxVersion, "cudaErrorUnsupportedPtxVersion",
     "the provided PTX was compiled with an unsupported toolchain."},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const Named& named(cudaError_t error) {
  for (const Named& n : kNames)
    if (n.error == error) return n;
  return kNames[std::size(kNames) - 1];
}

}  // namespace

void on_stream(cudaStream_t stream, Work work) {
  CUstream_st& s = stream_of(stream);
  if (s.captured != nullptr) {
    s.captured->nodes.push_back(std::move(work));
  } else if (twin().deferred) {
    s.waiting.push_back(std::move(work));
  } else {
    work();
  }
}

// What every entry point begins with.
#define TAUT_TWIN_CALL(function) \
  if (const cudaError_t injected = failure_of(function); injected != cudaSuccess) return returned(injected)

const char* cudaGetErrorName(cudaError_t error) { return named(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return named(error).words; }

cudaError_t cudaGetLastError() {
  Twin& t = twin();
  const cudaError_t error = t.sticky != cudaSuccess ? t.sticky : t.last;
  t.last = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  const cudaError_t injected = failure_of("cudaDriverGetVersion");
  *version = injected == cudaSuccess ? kVersion : 0;  // 0 without a driver, and no error
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  TAUT_TWIN_CALL("cudaGetDeviceCount");
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  TAUT_TWIN_CALL("cudaGetDeviceProperties");
  if (device != 0) return returned(cudaErrorInvalidDevice);
  *properties = {"SIMT runner", runner::kMemoryBytes - runner::kSharedBytes, capability() / 10, capability() % 10};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  TAUT_TWIN_CALL("cudaDeviceGetAttribute");
  if (device != 0) return returned(cudaErrorInvalidDevice);
  if (attribute != cudaDevAttrMaxSharedMemoryPerBlockOptin) return returned(cudaErrorInvalidValue);
  *value = most_shared();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  TAUT_TWIN_CALL("cudaSetDevice");
  return device == 0 ? cudaSuccess : returned(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceSynchronize() {
  TAUT_TWIN_CALL("cudaDeviceSynchronize");
  Twin& t = twin();
  for (const auto& s : t.streams)
    if (s->captured != nullptr) return wait_for(*s);
  for (const auto& s : t.streams) run_all(*s);
  return wait_for(t.legacy);
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  TAUT_TWIN_CALL("cudaMalloc");
  try {
    *pointer = runner::allocate(bytes);
  } catch (const Error&) {
    return returned(cudaErrorMemoryAllocation);
  }
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  TAUT_TWIN_CALL("cudaFree");
  for (const auto& s : twin().streams) run_all(*s);  // it waits for the device
  if (pointer != nullptr) runner::release(pointer);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  TAUT_TWIN_CALL("cudaMallocHost");
  char* const p = static_cast<char*>(std::malloc(bytes));
  if (p == nullptr) return returned(cudaErrorMemoryAllocation);
  twin().pinned.emplace(p, bytes);
  *pointer = p;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  TAUT_TWIN_CALL("cudaFreeHost");
  if (pointer != nullptr && twin().pinned.erase(static_cast<char*>(pointer)) == 0)
    return returned(cudaErrorInvalidValue);
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  TAUT_TWIN_CALL("cudaMemGetInfo");
  *total = runner::kMemoryBytes - runner::kSharedBytes;
  *free = *total - static_cast<size_t>(runner::bytes_in_use());
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaMemcpyAsync");
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (bytes > 0 && (on_device(to) != to_device || on_device(from) != from_device))
    return returned(cudaErrorInvalidValue);
  const bool pageable = (kind == cudaMemcpyHostToDevice && !is_pinned(from)) ||
                        (kind == cudaMemcpyDeviceToHost && !is_pinned(to)) || kind == cudaMemcpyHostToHost;
  const auto copy = [=] {
    if (to_device) expect_owned("cudaMemcpyAsync to the device", to, bytes, false);
    if (from_device) expect_owned("cudaMemcpyAsync from the device", from, bytes, !to_device);
    std::memcpy(to, from, bytes);
    if (from_device && to_device)
      copy_written(to, from, bytes);
    else if (to_device)
      runner::set_written(to, bytes, true);
  };
  CUstream_st& s = stream_of(stream);
  if (pageable && s.captured != nullptr) {
    s.spoilt = true;
    return returned(cudaErrorStreamCaptureUnsupported);
  }
  on_stream(stream, copy);
  if (pageable) return wait_for(s);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaMemsetAsync");
  if (bytes > 0 && !on_device(to)) return returned(cudaErrorInvalidValue);
  on_stream(stream, [=] {
    expect_owned("cudaMemsetAsync", to, bytes, false);
    std::memset(to, value, bytes);
    runner::set_written(to, bytes, true);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  TAUT_TWIN_CALL("cudaStreamCreateWithFlags");
  twin().streams.push_back(std::make_unique<CUstream_st>());
  *stream = twin().streams.back().get();
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaStreamSynchronize");
  return wait_for(stream_of(stream));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  TAUT_TWIN_CALL("cudaStreamWaitEvent");
  // What the event follows now is done by the time the stream comes here.
  on_stream(stream, [mark = event->mark] {
    while (mark->stream != nullptr) run_one(*mark->stream);
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  TAUT_TWIN_CALL("cudaEventCreateWithFlags");
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  TAUT_TWIN_CALL("cudaEventDestroy");
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaEventRecord");
  CUstream_st& s = stream_of(stream);
  if (s.captured != nullptr) {  // an event inside a graph; the backend uses none
    s.spoilt = true;
    return returned(cudaErrorStreamCaptureUnsupported);
  }
  event->mark = std::make_shared<Mark>();
  event->recorded = true;
  event->mark->reached = Clock::now();
  if (s.waiting.empty()) return cudaSuccess;
  *event->mark = {&s, s.waiting.size(), {}};
  twin().marks.push_back(event->mark);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  TAUT_TWIN_CALL("cudaEventSynchronize");
  while (event->mark->stream != nullptr) run_one(*event->mark->stream);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  TAUT_TWIN_CALL("cudaEventElapsedTime");
  for (const CUevent_st* event : {begin, end}) {
    if (!event->timed || !event->recorded) return returned(cudaErrorInvalidResourceHandle);
    if (event->mark->stream != nullptr) return returned(cudaErrorNotReady);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->reached - begin->mark->reached).count();
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaLaunchKernel");
  const auto allowed = twin().shared_allowed.find(kernel);
  if (shared_bytes > kSharedWithoutAsking && (allowed == twin().shared_allowed.end() || shared_bytes > allowed->second))
    return returned(cudaErrorInvalidValue);
  if (grid.count() == 0 || block.count() == 0 || block.count() > runner::kMaxThreads || block.z > 64 ||
      grid.x >= (1u << 31) || grid.y > 65535 || grid.z > 65535)
    return returned(cudaErrorInvalidConfiguration);
  const auto thunk = reinterpret_cast<void (*)(void*)>(arguments[0]);
  const auto* bytes = static_cast<const std::byte*>(arguments[1]);
  std::vector<std::byte> closure(bytes, bytes + *static_cast<const size_t*>(arguments[2]));
  on_stream(stream,
            [=, closure = std::move(closure)] { run_kernel(kernel, grid, block, shared_bytes, thunk, closure); });
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  TAUT_TWIN_CALL("cudaFuncSetAttribute");
  if (value < 0 || value > most_shared()) return returned(cudaErrorInvalidValue);
  twin().shared_allowed[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  std::string& text = twin().names[kernel];
  if (text.empty()) text = runner::describe_kernel(kernel);
  *name = text.c_str();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  TAUT_TWIN_CALL("cudaStreamBeginCapture");
  CUstream_st& s = stream_of(stream);
  if (stream == nullptr) return returned(cudaErrorStreamCaptureUnsupported);
  if (s.captured != nullptr) return returned(cudaErrorInvalidValue);
  s.captured = std::make_unique<CUgraph_st>();
  s.spoilt = false;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const CUstream_st& s = stream_of(stream);
  *status = s.captured == nullptr ? cudaStreamCaptureStatusNone
            : s.spoilt            ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  TAUT_TWIN_CALL("cudaStreamEndCapture");
  CUstream_st& s = stream_of(stream);
  if (s.captured == nullptr) return returned(cudaErrorInvalidValue);
  const std::unique_ptr<CUgraph_st> captured = std::move(s.captured);
  if (s.spoilt) return returned(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st(*captured);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  TAUT_TWIN_CALL("cudaGraphInstantiate");
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  TAUT_TWIN_CALL("cudaGraphLaunch");
  if (stream_of(stream).captured != nullptr) return returned(cudaErrorStreamCaptureUnsupported);
  for (const Work& work : executable->nodes) on_stream(stream, work);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  // A graph that is under way keeps what it needs.
  delete executable;
  return cudaSuccess;
}

#undef TAUT_TWIN_CALL

void twin_allocated(void* pointer, size_t bytes, cudaStream_t stream) {
  on_stream(stream, [=] {
    runner::set_exists(pointer, bytes, true);
    runner::set_written(pointer, bytes, false);
    std::memset(pointer, 0xFF, bytes);  // a NaN in every floating type, should a detector be off
  });
}

void twin_released(void* pointer, size_t bytes, cudaStream_t stream) {
  on_stream(stream, [=] { runner::set_exists(pointer, bytes, false); });
}

void twin_watches_copies(bool on) { watches_copies = on; }

void set_deferred(bool on) {
  if (!on) cudaDeviceSynchronize();
  twin().deferred = on;
}

void fail_call(const std::string& function, int64_t nth, cudaError_t error, bool and_after) {
  twin().calls.erase(function);
  twin().failures[function] = {nth, error, and_after};
}

bool is_to_fail(const char* function) { return failure_of(function) != cudaSuccess; }

void fail_no_more() {
  Twin& t = twin();
  t.failures.clear();
  t.calls.clear();
  t.last = t.sticky = cudaSuccess;
}

}  // namespace taut::cuda_twin
