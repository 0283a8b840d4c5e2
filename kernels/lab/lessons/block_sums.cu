// Blocks of 64 threads add up 64 numbers each, by a tree in shared memory: the kernel of docs/cuda_students.md, to run,
// to step through and to break.
#include <cstdio>
#include <vector>

#include "kernels/arena.h"
#include "kernels/device.cuh"
#include "kernels/device_memory.h"

namespace taut::TAUT_GPU {

#ifdef TAUT_SIMT
constexpr Device kHere{DeviceKind::kSimt, 0};
#else
constexpr Device kHere{DeviceKind::kCuda, 0};
#endif
constexpr int kThreads = 64;

// y[block] = sum of x[64 block], ..., x[64 block + 63], as far as x goes
__global__ void block_sums(const float* x, float* y, int n) {
  Shared shared;
  float* part = shared.take<float>(kThreads);
  const int t = static_cast<int>(threadIdx.x);
  const int i = static_cast<int>(blockIdx.x) * kThreads + t;
  part[t] = i < n ? x[i] : 0;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];
    __syncthreads();
  }
  if (t == 0) y[blockIdx.x] = part[0];
}

void run() {
  constexpr int kCount = 200, kBlocks = (kCount + kThreads - 1) / kThreads;
  std::vector<float> x(kCount), y(kBlocks);
  for (int i = 0; i < kCount; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i);
  auto* const on_x = static_cast<float*>(arena_allocate(kCount * sizeof(float), kHere));
  auto* const on_y = static_cast<float*>(arena_allocate(kBlocks * sizeof(float), kHere));
  copy_memory(on_x, kHere, x.data(), Device{}, kCount * sizeof(float));
  launch(block_sums, kBlocks, kThreads, kThreads * sizeof(float), current_stream(kHere), on_x, on_y, kCount);
  copy_memory(y.data(), Device{}, on_y, kHere, kBlocks * sizeof(float));
  for (int b = 0; b < kBlocks; ++b) std::printf("block %d: %g\n", b, static_cast<double>(y[static_cast<size_t>(b)]));
}

}  // namespace taut::TAUT_GPU

int main() {
  try {
    taut::TAUT_GPU::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
