// The checked launch behind `launch` of kernels/device.cuh, which includes this after CUDA's own words.
#pragma once

#include "kernels/runtime.h"

namespace taut::TAUT_GPU {

int device_in_use();  // kernels/cuda/runtime.h

// Shared memory beyond the 48 KB that every kernel may have is asked for first. Throws as check(), with the kernel's
// name; with TAUT_SYNC=1 the kernel has ended when this returns, so that a fault in it has its name.
void launch_kernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, Stream stream);

// The most that a block may have on the device in use.
size_t most_shared_bytes();

// With TAUT_SYNC=1 what the stream was asked for has ended, too, when this returns: `call` is what a fault is told of.
void end_call(Stream stream, const char* call);

}  // namespace taut::TAUT_GPU
