// Errors of the CUDA runtime as exceptions. Only for files that nvcc or a compiler with the toolkit's headers compiles.
#pragma once

#include <cuda_runtime.h>

namespace taut::cuda {

// Throws for anything but cudaSuccess: Error(kMemory) when memory is out, Error(kUnavailable) else, with the call, the
// runtime's words and the likely cause.
void check(cudaError_t status, const char* call);

}  // namespace taut::cuda
