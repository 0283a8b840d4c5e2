// What nvcc knows of the kernels of a source file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/lab/gpu_model.h"

namespace taut::lab {

// By kernel name ("norm_kernel<float, 24>") of `source` ("kernels/norm.cu", in the source tree the program was built
// from): what the build kept, where it compiled for this GPU, else by nvcc, some seconds a file. Empty where neither is
// there.
std::map<std::string, Resources> ptxas_resources(const std::string& source, const Gpu& gpu);
// "13.0.88"; empty where nvcc is not there.
const std::string& nvcc_version();

// Text by kernel name. Throws Error(kUnavailable) where nvcc, the source tree or, for machine code, cuobjdump is not
// there, or where the file does not compile.
std::map<std::string, std::string> ptx_of(const std::string& source, const Gpu& gpu);
std::map<std::string, std::string> sass_of(const std::string& source, const Gpu& gpu);

// The folder the program was built from, without a slash at the end; it may be gone.
const char* source_tree();
// The files of a folder of it whose names end so, sorted: "kernels/norm.cu"; none where it is gone.
std::vector<std::string> files_of(const std::string& folder, const char* extension);

}  // namespace taut::lab
