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

// Independent FMA chains on `threads` threads at once, with the instruction set in use: GFLOP/s of all together, the
// best of several runs, about 60 ms.
double measure_fma_peak_gflops(int threads);
// One of those runs, about 2 ms.
double run_fma_peak(int threads);

// Bytes that work reads and writes, each once.
struct Traffic {
  double read = 0, written = 0;
  bool in_place = false;  // what is written was read: no line is fetched only to be written
  double bytes() const { return read + written; }
};

// What this machine reaches at best, measured in the run that refers to it.
struct Peaks {
  std::optional<double> gflops;  // multiply-adds; nothing where nobody can measure them here
  double gb_per_second = 0;      // of memory, read and written bytes together
  // The least time that so many operations and bytes take, of `seconds`; nothing where a peak is not known.
  std::optional<double> percent(double flops, double bytes, double seconds) const;
};
// The rate of memory is that of copying (in place: updating), and reading or filling the rest, as many bytes as
// `traffic` has: in its
// proportion, since reads are faster than writes, and served by the cache that serves a kernel of this size; with
// `cold` they come from memory.
Peaks measure_peaks(int threads, const Traffic& traffic, bool cold = false);
// The same on a GPU: cuBLASLt's products of square matrices of such elements, where it is, and a copy that moves
// `bytes` in all, from its memory or its cache as the size has it; what mostly reads may be faster than that.
Peaks measure_gpu_peaks(Device device, LtElement element, int64_t bytes, bool cold = false);

}  // namespace taut
