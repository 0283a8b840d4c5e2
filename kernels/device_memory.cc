#include "kernels/device_memory.h"

#include <cstring>
#include <memory>

#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut {
void copy_memory(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0) return;
  const bool host_to = to_device.kind == DeviceKind::kCpu, host_from = from_device.kind == DeviceKind::kCpu;
  if (host_to && host_from) {
    std::memcpy(to, from, bytes);
  } else if (host_to) {
    TAUT_ON_GPU(from_device, copy_to_host(to, from, bytes, from_device.index));
  } else if (host_from) {
    TAUT_ON_GPU(to_device, copy_from_host(to, from, bytes, to_device.index));
  } else if (to_device == from_device) {
    TAUT_ON_GPU(to_device, copy_on_device(to, from, bytes, to_device.index));
  } else {  // two devices: rare, so by way of the host
    const std::unique_ptr<std::byte[]> between(new std::byte[bytes]);
    TAUT_ON_GPU(from_device, copy_to_host(between.get(), from, bytes, from_device.index));
    TAUT_ON_GPU(to_device, copy_from_host(to, between.get(), bytes, to_device.index));
  }
}

void copy_ahead(void* to, Device device, const void* from, size_t bytes) {
  if (device.kind == DeviceKind::kCpu) return copy_memory(to, device, from, Device{}, bytes);
  if (bytes > 0) TAUT_ON_GPU(device, copy_ahead(to, from, bytes, device.index));
}

void await_copies_ahead(Device device) {
  if (device.kind != DeviceKind::kCpu) TAUT_ON_GPU(device, await_copies_ahead(device.index));
}

void zero_memory(void* to, Device device, size_t bytes) {
  if (bytes == 0) return;
  if (device.kind == DeviceKind::kCpu) {
    std::memset(to, 0, bytes);
    return;
  }
  TAUT_ON_GPU(device, fill_zero(to, bytes, device.index));
}

}  // namespace taut
