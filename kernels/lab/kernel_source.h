// Where a kernel that the SIMT runner counted is written.
#pragma once

#include <string>
#include <vector>

#include "kernels/simt/counts.h"

namespace taut::lab {

struct KernelSource {
  std::string kernel;    // as the runner names it
  std::string compiled;  // the .cu file that makes it: "kernels/norm.cu"; empty where there is no debug information
  std::string file;      // that defines it, a header perhaps; empty where the source tree is not there
  int line = 0;
  std::string text;  // from the comment above it to its last brace
};

// Of the kernels of one run, in their order: one that lies in a header is compiled with the file of its neighbours.
std::vector<KernelSource> find_sources(const std::vector<runner::KernelCounts>& kernels);

}  // namespace taut::lab
