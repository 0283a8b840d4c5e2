// What a machine with a GPU would be asked of kernels that were counted here: command lines of Nsight Compute.
#pragma once

#include <string>
#include <vector>

#include "study/output.h"

namespace taut::study {

// A regular expression for the demangled name that ncu gives the kernel called `kernel` here: scopes and casts of
// arguments, which demanglers spell in different ways, may stand before each, "norm_kernel<float, 24>" is
// "void taut::cuda::norm_kernel<float, (int)24>(...)" there. Where the name was cut short, for all that begin so.
std::string ncu_kernel_regex(const std::string& kernel);

// A line for each row of `taut kernel profile` that is an op case's, not a rung's.
std::vector<std::string> ncu_lines(const std::vector<Row>& rows);

}  // namespace taut::study
