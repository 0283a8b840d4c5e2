// The vendor's libraries of a GPU, cuBLASLt and cuDNN: on and off around a measurement, and how fast the one is at its
// best. On `simt` they are the twins, so that all of this runs without a GPU.
#pragma once

#include <optional>
#include <string>

#include "kernels/cuda/lt.h"
#include "kernels/runtime.h"

namespace taut::lab {

// While it lives both libraries do what they can (`on`) or own kernels everything. Nothing of it on the CPU.
class UseLibraries {
 public:
  UseLibraries(Device device, bool on);
  ~UseLibraries();
  UseLibraries(const UseLibraries&) = delete;
  UseLibraries& operator=(const UseLibraries&) = delete;

 private:
  Device device_;
  bool lt_ = false, dnn_ = false;  // before
};

// What this process has given to the libraries.
struct LibraryCalls {
  int64_t products = 0, dnn = 0;  // of cuBLASLt, and calls of cuDNN
};
LibraryCalls library_calls(Device device);
// "cuBLASLt", "cuDNN", "cuBLASLt, cuDNN": which were called since `before`; empty for neither.
std::string libraries_called_since(const LibraryCalls& before, Device device);

// GFLOP/s of cuBLASLt in its fastest run of a product of square matrices of random numbers, large enough to be bound by
// multiply-adds, measured once a process; nothing where the library is not there.
std::optional<double> matrix_gflops(Device device, LtElement element);

}  // namespace taut::lab
