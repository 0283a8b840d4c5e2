// Which op cases the kernel profile runs.
#pragma once

#include <string>
#include <vector>

#include "tests/cases/choice.h"

namespace taut::cases {

// Of each op that `filter` matches the largest case of at most `most_flops`, and a short list of small ones for the
// kernels that those do not launch: long rows, narrow images, frozen parameters. Throws Error(kUsage) as
// matching_cases does.
std::vector<OpCase> profiled_cases(const char* flag, const std::string& filter, double most_flops, RunAs mode);

}  // namespace taut::cases
