// Sizes of a ladder's op as lists and ranges, every combination of them.
#pragma once

#include <string>
#include <vector>

#include "kernels/lab/problems.h"

namespace taut::lab {

// "cols=64,197", "cols=64..4096*2" (times 2), "cols=100..500+100", one a name of `op.sizes`; a size that none names is
// that of `others`. The last axis given varies fastest. Throws Error(kUsage).
std::vector<Sizes> sweep_sizes(const LadderOp& op, const Sizes& others, const std::vector<std::string>& axes);

std::vector<std::string> size_names(const LadderOp& op);

}  // namespace taut::lab
