// The processor's f32 multiply-add peak, which every fraction-of-peak refers to, and the clocks of the benchmarks.
#pragma once

namespace taut {

// Seconds for timing work of `threads` threads. For one thread it is the calling thread's processor time, which equals
// wall time on an idle machine and does not count other programs on a busy one; for more threads it is wall time.
double bench_seconds(int threads);

// One run of about 2 ms of independent FMA chains on `threads` threads at once, with the instruction set in use:
// GFLOP/s of all together. Take the best of several.
double run_fma_peak(int threads);

// The best of several runs of run_fma_peak, about 60 ms.
double measure_fma_peak_gflops(int threads);

}  // namespace taut
