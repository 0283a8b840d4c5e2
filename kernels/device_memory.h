// Memory of devices: copies between them and the host, in the order of the device's current stream.
#pragma once

#include <cstddef>

#include "kernels/runtime.h"

namespace taut {

// Copies `bytes` bytes; source and destination may be of any devices. Returns when the host may use both.
void copy_memory(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
// From the host to a GPU while the current stream computes; returns when the host may change the source. Nothing may
// use the destination before await_copies_ahead. On the CPU the first is a copy and the second nothing.
void copy_ahead(void* to, Device device, const void* from, size_t bytes);
void await_copies_ahead(Device device);
// Sets `bytes` bytes to zero.
void zero_memory(void* to, Device device, size_t bytes);

}  // namespace taut
