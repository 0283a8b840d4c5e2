// Which devices this build and this machine have, and the state of one: what the host code above the kernels asks.
#pragma once

#include <string>

#include "kernels/runtime.h"

namespace taut {

struct BackendState {
  bool compiled = false, available = false;
  std::string note;  // the devices' names, or why there is none
};
// Asks the driver; never throws.
BackendState backend_state(DeviceKind kind);
bool is_compiled(DeviceKind kind);  // the same of this build alone, without asking anybody

// The first GPU where this build and this machine have one, else the CPU.
Device best_device();
// Throws Error(kUnavailable) with the reason where the device is not there.
void require_device(Device device);

// Waits until the device has done all that was asked of it; errors of kernels come to light here.
void synchronize(Device device);

}  // namespace taut
