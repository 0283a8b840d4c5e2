// What ptxas says of the kernels of a source file: nvcc is asked to compile it.
#pragma once

#include <map>
#include <string>

#include "kernels/lab/gpu_model.h"

namespace taut::lab {

// Resources by kernel name ("norm_kernel<float, 24>") of `source` ("kernels/norm.cu", in the source tree the program
// was built from). Empty where nvcc or the source tree is not there. Some seconds a file.
std::map<std::string, Resources> ptxas_resources(const std::string& source, const Gpu& gpu);

}  // namespace taut::lab
