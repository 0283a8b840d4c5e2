// Errors of the CUDA runtime as exceptions.
#pragma once

#include "kernels/cuda/api.h"

namespace taut::TAUT_GPU {

// Throws for anything but cudaSuccess, with `call`, the runtime's words and the likely cause: Error(kMemory) when
// memory is out, Error(kUnavailable) else.
void check(cudaError_t status, const char* call);

}  // namespace taut::TAUT_GPU
