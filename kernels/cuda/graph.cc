#include "kernels/cuda/graph.h"

#include <atomic>

#include "kernels/cuda/arena.h"
#include "kernels/cuda/check.h"

namespace taut::TAUT_GPU {
namespace {

cudaStream_t stream_of(int device) { return static_cast<cudaStream_t>(compute_stream(device).handle); }

}  // namespace

bool is_capturing(int device) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream_of(device), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

uint64_t new_pool() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

uint64_t use_pool(int device, uint64_t pool) noexcept { return arena_of(device).use_pool(pool); }
void drop_pool(int device, uint64_t pool) noexcept { arena_of(device).drop_pool(pool); }

void begin_capture(int device) {
  // Relaxed: the arena may have to ask for another slab on the way.
  check(cudaStreamBeginCapture(stream_of(device), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}

void* end_capture(int device) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_of(device), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return executable;
}

void abandon_capture(int device) noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(static_cast<cudaStream_t>(compute_stream(device).handle), &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
}

void launch_graph(void* graph, int device) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(device)), "cudaGraphLaunch");
}

void destroy_graph(void* graph) noexcept { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

}  // namespace taut::TAUT_GPU
