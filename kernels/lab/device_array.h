// Memory of a device for as long as an object lives.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/arena.h"
#include "kernels/device_memory.h"

namespace taut::lab {

class DeviceArray {
 public:
  DeviceArray(size_t bytes, Device device) : device_(device), p_(arena_allocate(bytes, device)) {}
  // A copy of host memory.
  template <class T>
  DeviceArray(const std::vector<T>& values, Device device) : DeviceArray(values.size() * sizeof(T), device) {
    copy_memory(p_, device, values.data(), Device{}, values.size() * sizeof(T));
  }
  ~DeviceArray() { arena_release(p_, device_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  float* floats() const { return static_cast<float*>(p_); }
  void* get() const { return p_; }

 private:
  Device device_;
  void* p_;
};

// Writing it fills a GPU's cache with something else. The runner has none.
class CacheSpoiler {
 public:
  explicit CacheSpoiler(Device device)
      : device_(device), bytes_(device.kind == DeviceKind::kCuda ? size_t{256} << 20 : 1), memory_(bytes_, device) {}
  // Not waited for: while a GPU writes, the next call is asked for, so that its launch is not timed.
  void operator()() const { zero_memory(memory_.get(), device_, bytes_); }

 private:
  Device device_;
  size_t bytes_;  // more than any cache has
  DeviceArray memory_;
};

}  // namespace taut::lab
