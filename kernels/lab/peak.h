// The processor's f32 multiply-add peak, which every fraction-of-peak refers to, and the clocks of the benchmarks.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/cuda/lt.h"
#include "kernels/runtime.h"

namespace taut {

// Seconds for timing work of `threads` threads. For one thread it is the calling thread's processor time, which equals
// wall time on an idle machine and does not count other programs on a busy one; for more threads it is wall time.
double bench_seconds(int threads);

// One run of about 2 ms of independent FMA chains on `threads` threads at once, with the instruction set in use:
// GFLOP/s of all together. Take the best of several.
double run_fma_peak(int threads);

// The best of several runs of run_fma_peak, about 60 ms.
double measure_fma_peak_gflops(int threads);

// What this machine reaches at best, measured in the run that refers to it.
struct Peaks {
  std::optional<double> gflops;  // multiply-adds; nothing where nobody can measure them here
  double gb_per_second = 0;      // a copy, read and written bytes together
  // The least time that so many operations and bytes take, of `seconds`; nothing where a peak is not known.
  std::optional<double> percent(double flops, double bytes, double seconds) const;
};
// The copy moves `bytes` in all, so that it is served by the cache that serves a kernel of this size; with `cold` it
// comes from memory.
Peaks measure_peaks(int threads, int64_t bytes, bool cold = false);
// The same on a GPU: cuBLASLt's products of square matrices of such elements, where it is, and a copy from its memory
// or its cache as the size has it.
Peaks measure_gpu_peaks(Device device, LtElement element, int64_t bytes, bool cold = false);

}  // namespace taut
