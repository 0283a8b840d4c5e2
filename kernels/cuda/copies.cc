// Copies between host and device through pinned memory, in the order of the compute stream: a device copies from and to
// pinned memory alone without the driver staging it itself, and the source may change as soon as a copy returns.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
// After CUDA's own words.
#include "kernels/cuda/launch.h"

namespace taut::TAUT_GPU {
namespace {

// Two slots: one is filled or emptied by the host while the other is under way. 4 MiB: a copy of that size takes 80
// microseconds on PCIe 4.0 x16 (by its rate), far longer than it takes to start one.
constexpr size_t kSlotBytes = size_t{4} << 20;

struct Slot {
  char* memory = nullptr;
  cudaEvent_t done = nullptr;
};

// Pinned memory of one copy ahead, as large as the largest so far.
struct AheadSlot {
  char* memory = nullptr;
  size_t bytes = 0;
  cudaEvent_t arrived = nullptr, may_begin = nullptr;
};

char* pinned(size_t bytes) {
  void* p = nullptr;
  const cudaError_t status = cudaMallocHost(&p, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(Exit::kMemory,
         "[{}] cudaMallocHost: the host gives no {} bytes of pinned memory for copies; hint: more memory of the host "
         "(ulimit -l, a container's limit), or a smaller batch",
         kBackend, bytes);
  }
  check(status, "cudaMallocHost");
  return static_cast<char*>(p);
}

struct Staging {
  std::mutex mutex;
  Slot slots[2];
  AheadSlot ahead[4];
  int turn = 0;
  void prepare() {
    for (Slot& s : slots) {
      if (s.memory != nullptr) continue;
      s.memory = pinned(kSlotBytes);
      check(cudaEventCreateWithFlags(&s.done, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    }
  }
};

Staging& staging_of(int device) {
  static std::mutex mutex;
  static auto* const all = new std::map<int, Staging>;
  const std::lock_guard lock(mutex);
  return (*all)[device];
}

cudaStream_t stream_of(int device) {
  const auto stream = static_cast<cudaStream_t>(compute_stream(device).handle);
  if (is_capturing(device))
    fail(Exit::kUnavailable,
         "[{}] a step that is captured into a graph exchanged data with the host, a defect of this program; hint: "
         "TAUT_GRAPHS=0",
         kBackend);
  return stream;
}

}  // namespace

void copy_from_host(void* to, const void* from, size_t bytes, int device) {
  const cudaStream_t stream = stream_of(device);
  Staging& staging = staging_of(device);
  const std::lock_guard lock(staging.mutex);
  staging.prepare();
  int turn = 0;
  for (size_t at = 0; at < bytes; at += kSlotBytes, turn ^= 1) {
    const Slot& slot = staging.slots[turn];
    const size_t part = std::min(kSlotBytes, bytes - at);
    check(cudaEventSynchronize(slot.done), "cudaEventSynchronize");  // what the slot held has left
    std::memcpy(slot.memory, static_cast<const char*>(from) + at, part);
    check(cudaMemcpyAsync(static_cast<char*>(to) + at, slot.memory, part, cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync to the device");
    check(cudaEventRecord(slot.done, stream), "cudaEventRecord");
  }
}

void copy_to_host(void* to, const void* from, size_t bytes, int device) {
  const cudaStream_t stream = stream_of(device);
  Staging& staging = staging_of(device);
  const std::lock_guard lock(staging.mutex);
  staging.prepare();
  const auto begin = [&](size_t at) {
    const Slot& slot = staging.slots[at / kSlotBytes % 2];
    check(cudaMemcpyAsync(slot.memory, static_cast<const char*>(from) + at, std::min(kSlotBytes, bytes - at),
                          cudaMemcpyDeviceToHost, stream),
          "cudaMemcpyAsync to the host");
    check(cudaEventRecord(slot.done, stream), "cudaEventRecord");
  };
  // A slot may still be read by a copy to the device; the stream's order keeps this one behind it.
  if (bytes > 0) begin(0);
  for (size_t at = 0; at < bytes; at += kSlotBytes) {
    if (at + kSlotBytes < bytes) begin(at + kSlotBytes);
    const Slot& slot = staging.slots[at / kSlotBytes % 2];
    check(cudaEventSynchronize(slot.done), "cudaEventSynchronize");
    std::memcpy(static_cast<char*>(to) + at, slot.memory, std::min(kSlotBytes, bytes - at));
  }
}

void copy_ahead(void* to, const void* from, size_t bytes, int device) {
  const cudaStream_t compute = stream_of(device), copy = static_cast<cudaStream_t>(copy_stream(device).handle);
  Staging& staging = staging_of(device);
  const std::lock_guard lock(staging.mutex);
  AheadSlot& slot = staging.ahead[staging.turn++ % std::size(staging.ahead)];
  if (slot.arrived == nullptr) {
    check(cudaEventCreateWithFlags(&slot.arrived, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    check(cudaEventCreateWithFlags(&slot.may_begin, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  check(cudaEventSynchronize(slot.arrived), "cudaEventSynchronize");
  if (slot.bytes < bytes) {
    if (slot.memory != nullptr) check(cudaFreeHost(slot.memory), "cudaFreeHost");
    slot.memory = nullptr;
    slot.bytes = 0;
    slot.memory = pinned(bytes);
    slot.bytes = bytes;
  }
  std::memcpy(slot.memory, from, bytes);
  // What the compute stream was asked for so far may still use the memory.
  check(cudaEventRecord(slot.may_begin, compute), "cudaEventRecord");
  check(cudaStreamWaitEvent(copy, slot.may_begin, 0), "cudaStreamWaitEvent");
  check(cudaMemcpyAsync(to, slot.memory, bytes, cudaMemcpyHostToDevice, copy), "cudaMemcpyAsync to the device");
  check(cudaEventRecord(slot.arrived, copy), "cudaEventRecord");
}

void await_copies_ahead(int device) {
  const cudaStream_t compute = stream_of(device);
  Staging& staging = staging_of(device);
  const std::lock_guard lock(staging.mutex);
  for (const AheadSlot& slot : staging.ahead)
    if (slot.arrived != nullptr) check(cudaStreamWaitEvent(compute, slot.arrived, 0), "cudaStreamWaitEvent");
}

void copy_on_device(void* to, const void* from, size_t bytes, int device) {
  const Stream stream = compute_stream(device);
  constexpr const char* kCall = "cudaMemcpyAsync on the device";
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream.handle)), kCall);
  end_call(stream, kCall);
}

void fill_zero(void* to, size_t bytes, int device) {
  const Stream stream = compute_stream(device);
  check(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(stream.handle)), "cudaMemsetAsync");
  end_call(stream, "cudaMemsetAsync");
}

}  // namespace taut::TAUT_GPU
