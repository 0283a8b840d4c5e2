// The processor's f32 multiply-add peak, which every fraction-of-peak refers to, and the clocks of the benchmarks.
#pragma once

#include <cstdint>

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
  double gflops = 0;         // multiply-adds
  double gb_per_second = 0;  // a copy, read and written bytes together
  // The least time that so many operations and bytes take, of `seconds`; 0 where nothing was measured.
  double percent(double flops, double bytes, double seconds) const;
};
// The copy moves `bytes` in all, so that it is served by the cache that serves a kernel of this size; with `cold` it
// comes from memory.
Peaks measure_peaks(int threads, int64_t bytes, bool cold = false);
// The same copy on a GPU, from its memory or its cache as the size has it; read and written bytes together.
double measure_copy_gb_per_second(Device device, int64_t bytes);

}  // namespace taut
