// Two ways for a block to reduce a value of every thread in shared memory, for the ladders.
#pragma once

#include "kernels/device.cuh"
#include "kernels/lab/rungs.h"

namespace taut::TAUT_GPU::lab {

using taut::lab::LadderCount;
using taut::lab::LadderData;
using taut::lab::Rung;
using taut::lab::Rungs;

constexpr int kBlock = 128;

// Step s: thread t folds element 2 s t + s onto 2 s t. Lanes lie 2 s words apart: they share banks.
struct StridedTree {
  template <class Fold>
  __device__ static float run(float* parts, float value, Fold fold) {
    const int t = static_cast<int>(threadIdx.x);
    __syncthreads();
    parts[t] = value;
    __syncthreads();
    for (int s = 1; s < kBlock; s *= 2) {
      const int at = 2 * s * t;
      if (at < kBlock) parts[at] = fold(parts[at], parts[at + s]);
      __syncthreads();
    }
    return parts[0];
  }
};

// Step s: thread t < s folds element t + s onto t.
struct HalvingTree {
  template <class Fold>
  __device__ static float run(float* parts, float value, Fold fold) {
    const int t = static_cast<int>(threadIdx.x);
    __syncthreads();
    parts[t] = value;
    __syncthreads();
    for (int s = kBlock / 2; s > 0; s /= 2) {
      if (t < s) parts[t] = fold(parts[t], parts[t + s]);
      __syncthreads();
    }
    return parts[0];
  }
};

}  // namespace taut::TAUT_GPU::lab
