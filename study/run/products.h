// cuBLASLt's choices of algorithms (kernels/cuda/lt.h), kept between processes: each product is timed once on a
// machine.
#pragma once

#include <string>

#include "kernels/runtime.h"

namespace taut::study {

// $XDG_CACHE_HOME/taut/cublaslt.txt, else ~/.cache/taut/cublaslt.txt; "" where neither variable is an absolute path.
std::string products_file();
// The file's choices count from now on. Without a file nothing happens.
void read_products(Device device, const std::string& file);
// This process' choices go into the file, beside those that others put there meanwhile; where it timed nothing, nothing
// is written. Throws Error(kIo) naming the file.
void keep_products(Device device, const std::string& file);

}  // namespace taut::study
