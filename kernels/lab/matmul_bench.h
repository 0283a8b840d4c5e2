// The benchmark of the matrix product: own kernel and peaks, then dnnl_sgemm where oneDNN is installed.
#pragma once

#include <string>
#include <vector>

#include "kernels/lab/pass_bench.h"

namespace taut {

// Rows for each shape "MxNxK" (M x N is the result, K is summed) and pass ("nt" = x wT, "nn" = dy w, "tn" = dyT x), one
// for each state of the caches, f32, on `threads` threads; about half a second each, and as long for the vendor's.
// Throws Error(kUsage) on a shape or pass it cannot read, Error(kMemory) on one too large.
std::vector<lab::PassRow> bench_matmul(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                       const lab::Caches& caches, int threads);

}  // namespace taut
