#include "kernels/devices.h"

#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut {

BackendState backend_state(DeviceKind kind) {
  BackendState state;
  DeviceList list;
  switch (kind) {
    case DeviceKind::kCpu: return {true, true, name(cpu_isa())};
    case DeviceKind::kSimt:
#ifdef TAUT_WITH_SIMT
      state.compiled = true;
      list = simt::find_devices();
#else
      list.note = "left out of this kind of build";
#endif
      break;
    case DeviceKind::kCuda:
#ifdef TAUT_WITH_CUDA
      state.compiled = true;
      list = cuda::find_devices();
#else
      list.note = "nvcc was not found when this program was built";
#endif
      break;
  }
  state.available = list.count > 0;
  state.note = list.note;
  return state;
}

Device best_device() { return {backend_state(DeviceKind::kCuda).available ? DeviceKind::kCuda : DeviceKind::kCpu, 0}; }

void require_device(Device device) {
  if (device.kind != DeviceKind::kCpu) TAUT_ON_GPU(device, use_device(device.index));
}

void synchronize(Device device) {
  if (device.kind != DeviceKind::kCpu) TAUT_ON_GPU(device, synchronize(device.index));
}

}  // namespace taut
