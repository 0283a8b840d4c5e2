// Which devices this build and this machine have, and the state of one: what the host code above the kernels asks.
#pragma once

#include <functional>
#include <string>

#include "kernels/runtime.h"

namespace taut {

struct BackendState {
  bool compiled = false, available = false;
  std::string note;  // the devices' names, or why there is none
  // Of the vendor's libraries those that were found, "cuBLASLt, cuDNN", of simt their twins; own kernels stand in for
  // others.
  std::string libraries;
};
// Asks the driver; never throws.
BackendState backend_state(DeviceKind kind);
bool is_compiled(DeviceKind kind);  // the same of this build alone, without asking anybody

// The first GPU that runs this build where this machine has one, else the CPU.
Device best_device();
// Throws Error(kUnavailable) with the reason where the device is not there.
void require_device(Device device);

// Waits until the device has done all that was asked of it; errors of kernels come to light here.
void synchronize(Device device);
// Seconds that a GPU takes for what `work` asks of it, by its own clock (on the SIMT runner the host's). Not for the
// CPU.
double device_seconds(Device device, const std::function<void()>& work);

}  // namespace taut
