// A step that repeats, as one CUDA graph: on a GPU the host starts it with one call in place of one for each kernel.
#pragma once

#include <functional>
#include <string>

#include "kernels/runtime.h"

namespace taut {

// Runs a step again and again. On the CPU, and with TAUT_GRAPHS=0, it calls the step each time. On a GPU it calls it
// once, records it at the second call, and replays the record from then on without calling the step.
//
// A step may read and write device memory at addresses that stay, and make tensors; those it leaves to the caller (in
// variables outside it) keep their memory, and a replay writes their new contents there. It must not read device memory
// on the host, upload from it, or pass a number that changes to a kernel by value: such things stand before or after.
// The first run under a key, which is a call, may look around once.
class RepeatedStep {
 public:
  struct Counts {
    int64_t called = 0, recorded = 0, replayed = 0;
  };

  explicit RepeatedStep(Device device) : device_(device) {}
  ~RepeatedStep() { forget(); }
  RepeatedStep(const RepeatedStep&) = delete;
  RepeatedStep& operator=(const RepeatedStep&) = delete;

  // `key` names everything the step's kernels depend on but the contents of memory: shapes, addresses, constants. With
  // another key than before the record is thrown away, and the step is new.
  void run(const std::string& key, const std::function<void()>& step);
  const Counts& counts() const { return counts_; }

 private:
  void forget() noexcept;
  void call_from_pool(const std::function<void()>& step);
  void record(const std::function<void()>& step);

  Device device_;
  std::string key_;
  bool called_ = false;
  void* graph_ = nullptr;
  uint64_t pool_ = 0;
  Counts counts_;
};

// While it lives, memory that a step asks for is not its graph's: for what outlives the graph.
class OutsideGraph {
 public:
  explicit OutsideGraph(Device device);
  ~OutsideGraph();
  OutsideGraph(const OutsideGraph&) = delete;
  OutsideGraph& operator=(const OutsideGraph&) = delete;

 private:
  Device device_;
  uint64_t pool_ = 0;
};

// Whether a step is being recorded on the device: what must not be part of it asks.
bool is_recording(Device device);

}  // namespace taut
