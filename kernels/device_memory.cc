#include "kernels/device_memory.h"

#include <cstring>

#include "kernels/error.h"
#include "kernels/simt/memory.h"

namespace taut {

void copy_memory(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0) return;
  if (to_device.kind == DeviceKind::kCuda || from_device.kind == DeviceKind::kCuda)
    backend_not_built(DeviceKind::kCuda);
  std::memcpy(to, from, bytes);
  if (to_device.kind == DeviceKind::kSimt) runner::set_written(to, bytes, true);
}

void zero_memory(void* to, Device device, size_t bytes) {
  if (bytes == 0) return;
  if (device.kind == DeviceKind::kCuda) backend_not_built(DeviceKind::kCuda);
  std::memset(to, 0, bytes);
  if (device.kind == DeviceKind::kSimt) runner::set_written(to, bytes, true);
}

}  // namespace taut
