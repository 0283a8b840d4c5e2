// What the tests of the twin share: failures end with the test that planted them.
#pragma once

#include "kernels/arena.h"
#include "kernels/error.h"
#include "kernels/simt/cuda_twin/cuda_twin.h"

namespace taut {

class Injected {
 public:
  Injected() = default;
  ~Injected() {
    cuda_twin::fail_no_more();
    cuda_twin::set_deferred(false);
  }
  Injected(const Injected&) = delete;
  Injected& operator=(const Injected&) = delete;
};

// The device arena gives back what nobody uses, as it does when memory is out.
inline void drop_unused_memory() {
  cuda_twin::fail_call("cudaMalloc", 1, cuda_twin::cudaErrorMemoryAllocation, true);
  try {
    arena_allocate(size_t{1} << 34, {DeviceKind::kSimt, 0});
  } catch (const Error&) {
  }
  cuda_twin::fail_no_more();
}

}  // namespace taut
