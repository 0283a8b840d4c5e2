// Sizes of a ladder's op as lists and ranges, every combination of them.
#pragma once

#include <string>
#include <vector>

#include "kernels/lab/problems.h"

namespace taut::lab {

// "cols=64,197", "cols=64..4096*2" (times 2), "cols=100..500+100", one a name of `op.sizes`; a size that none names is
// that of `others`. A value stands once, a range goes up. The last axis given varies fastest. Throws Error(kUsage).
std::vector<Sizes> sweep_sizes(const LadderOp& op, const Sizes& others, const std::vector<std::string>& axes);

std::vector<std::string> size_names(const LadderOp& op);
std::string sizes_text(const LadderOp& op, const Sizes& sizes);  // "rows=64 cols=128"

}  // namespace taut::lab
