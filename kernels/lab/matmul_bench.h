// The benchmark of the matrix product: own kernel and FMA peak by turns, then dnnl_sgemm where oneDNN is installed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace taut {

struct MatmulBenchRow {
  std::string op = "matmul";
  std::string shape;  // "788x2304x768": M x N is the result, K is summed
  std::string pass;   // "nt" = x wT, "nn" = dy w, "tn" = dyT x
  int threads = 1;
  double gflops = 0, peak_gflops = 0, fraction_of_peak = 0;  // of the fastest runs
  std::string vendor;                                        // empty where there is none
  double vendor_gflops = 0;
};

// One row for each shape ("MxNxK") and pass, f32, on `threads` threads; half a second to a second each. Timed by
// bench_seconds(threads). Throws Error(kUsage) on a shape or pass it cannot read, Error(kMemory) on one too large.
std::vector<MatmulBenchRow> bench_matmul(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                         int threads);

}  // namespace taut
