#include "kernels/devices.h"

#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut {

bool is_compiled(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu: return true;
    case DeviceKind::kSimt:
#ifdef TAUT_WITH_SIMT
      return true;
#else
      return false;
#endif
    case DeviceKind::kCuda:
#ifdef TAUT_WITH_CUDA
      return true;
#else
      return false;
#endif
  }
  return false;
}

BackendState backend_state(DeviceKind kind) {
  if (kind == DeviceKind::kCpu) return {true, true, name(cpu_isa()), ""};
  if (!is_compiled(kind))
    return {
        false, false,
        kind == DeviceKind::kSimt ? "left out of this kind of build" : "nvcc was not found when this program was built",
        ""};
  const DeviceList list = TAUT_ON_GPU((Device{kind, 0}), find_devices());
  return {true, list.count > 0, list.note, TAUT_ON_GPU((Device{kind, 0}), libraries())};
}

Device best_device() {
  if (!is_compiled(DeviceKind::kCuda)) return {};
  const DeviceList list = TAUT_ON_GPU((Device{DeviceKind::kCuda, 0}), find_devices());
  return list.count > 0 ? Device{DeviceKind::kCuda, list.first} : Device{};
}

void require_device(Device device) {
  if (device.kind != DeviceKind::kCpu) TAUT_ON_GPU(device, use_device(device.index));
}

void synchronize(Device device) {
  if (device.kind != DeviceKind::kCpu) TAUT_ON_GPU(device, synchronize(device.index));
}

double device_seconds(Device device, const std::function<void()>& work) {
  return TAUT_ON_GPU(device, seconds_of(work, device.index));
}

}  // namespace taut
