// What a comparison that failed looks like: which elements differ, and how the differences are spread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace taut::lab {

// "2 of 60 beyond it: [0, 3] 0.5 for 0.25, [4, 1] nan for 1; ulps: 0 in 50, up to 1 in 8, up to 256 in 1, not finite in
// 1": the first ten elements that differ by more than `limit` times the largest magnitude wanted, by their indices in a
// row-major `shape`, and how many differ by how many units in the last place of that magnitude, where `epsilon` is that
// of 1.
std::string mismatches(std::span<const double> got, std::span<const double> wanted, const std::vector<int64_t>& shape,
                       double limit, double epsilon);

}  // namespace taut::lab
