// Names for what a profiler of a device sees: NVTX ranges on a GPU, nothing elsewhere.
#pragma once

#include <string>

#include "kernels/runtime.h"

namespace taut {

BOTH_BACKENDS(void begin_range(const char* name); void end_range();)

namespace lab {

// "op/case" or "op/version/shape", as long as the object lives.
class Range {
 public:
  Range(Device device, const std::string& name) : device_(device) { ON_DEVICE(device_, begin_range(name.c_str())); }
  ~Range() { ON_DEVICE(device_, end_range()); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  Device device_;
};

}  // namespace lab
}  // namespace taut
