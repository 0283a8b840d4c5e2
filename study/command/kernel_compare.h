// Two tables of the lab's benchmarks, row by row.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"

namespace taut::study {

// Rows of two arrays that `taut kernel bench`, `ladder` or `profile` wrote as JSON, joined by what names a row (op,
// case, shape, dtype, pass, caches, device, threads, rung, kernel, kernels, site): `a`, `b`, `change_percent`,
// `noise_percent` and a `verdict` for the time, or for each count. SAME: within `threshold_percent` or the noise of the
// quieter row; AMBG: within the noise of the louder one, or beyond the threshold where a row says nothing of its noise;
// else FAST or SLOW. Counts are exact: fewer is FAST, more is SLOW. A row that one table lacks is NEW or GONE. Throws
// Error(kBadData) on what is no such table, and where a row is timed in one and counted in the other; Error(kUsage) on
// a threshold outside 0 to 100.
std::vector<Row> compare_benchmarks(const std::string& path_a, const std::string& path_b, double threshold_percent);

}  // namespace taut::study
