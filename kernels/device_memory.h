// Memory of devices: copies between them and the host, in the order of the device's current stream.
#pragma once

#include <cstddef>

#include "kernels/runtime.h"

namespace taut {

// Copies `bytes` bytes; source and destination may be of any devices. Returns when the host may use both.
void copy_memory(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
// Sets `bytes` bytes to zero.
void zero_memory(void* to, Device device, size_t bytes);

}  // namespace taut
