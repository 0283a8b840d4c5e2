// How long a GPU works, by its own clock: events on the compute stream. The wait does not count, nor what the host does
// while the stream has something to do; on an idle stream the first event is reached at once, and the first launch
// counts.
#include <functional>

#include "kernels/cuda/check.h"
#include "kernels/cuda/runtime.h"

namespace taut::TAUT_GPU {
namespace {

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault), "cudaEventCreateWithFlags"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  double seconds_since(const Event& earlier) const {
    check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "cudaEventElapsedTime");
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

double seconds_of(const std::function<void()>& work, int device) {
  const auto stream = static_cast<cudaStream_t>(compute_stream(device).handle);
  Event begin, end;
  begin.record(stream);
  work();
  end.record(stream);
  return end.seconds_since(begin);
}

}  // namespace taut::TAUT_GPU
