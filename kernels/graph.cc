#include "kernels/graph.h"

#include <cstdlib>
#include <string_view>

#include "kernels/cuda/graph.h"

namespace taut {
namespace {

bool graphs_wanted() {
  const char* text = std::getenv("TAUT_GRAPHS");
  return text == nullptr || std::string_view(text) != "0";
}

}  // namespace

void RepeatedStep::forget() noexcept {
  if (graph_ != nullptr) TAUT_ON_GPU(device_, destroy_graph(graph_));
  if (pool_ != 0) TAUT_ON_GPU(device_, drop_pool(device_.index, pool_));
  graph_ = nullptr;
  pool_ = 0;
  called_ = false;
}

void RepeatedStep::call_from_pool(const std::function<void()>& step) {
  TAUT_ON_GPU(device_, use_pool(device_.index, pool_));
  try {
    step();
  } catch (...) {
    TAUT_ON_GPU(device_, use_pool(device_.index, 0));
    throw;
  }
  TAUT_ON_GPU(device_, use_pool(device_.index, 0));
}

void RepeatedStep::record(const std::function<void()>& step) {
  TAUT_ON_GPU(device_, begin_capture(device_.index));
  try {
    call_from_pool(step);
  } catch (...) {
    TAUT_ON_GPU(device_, abandon_capture(device_.index));
    throw;
  }
  graph_ = TAUT_ON_GPU(device_, end_capture(device_.index));
  ++counts_.recorded;
}

void RepeatedStep::run(const std::string& key, const std::function<void()>& step) {
  if (device_.kind == DeviceKind::kCpu || !graphs_wanted()) {
    ++counts_.called;
    return step();
  }
  if (key != key_) {
    forget();
    key_ = key;
  }
  if (pool_ == 0) pool_ = TAUT_ON_GPU(device_, new_pool());
  if (!called_) {
    call_from_pool(step);  // from the pool, so that recording finds its memory there
    called_ = true;
    ++counts_.called;
    return;
  }
  if (graph_ == nullptr)
    record(step);
  else
    ++counts_.replayed;
  TAUT_ON_GPU(device_, launch_graph(graph_, device_.index));
}

OutsideGraph::OutsideGraph(Device device) : device_(device) {
  if (device_.kind != DeviceKind::kCpu) pool_ = TAUT_ON_GPU(device_, use_pool(device_.index, 0));
}
OutsideGraph::~OutsideGraph() {
  if (device_.kind != DeviceKind::kCpu) TAUT_ON_GPU(device_, use_pool(device_.index, pool_));
}

bool is_recording(Device device) {
  return device.kind != DeviceKind::kCpu && TAUT_ON_GPU(device, is_capturing(device.index));
}

}  // namespace taut
