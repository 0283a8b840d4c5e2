// What the host side of a GPU backend offers, in `cuda` and in `simt` alike; kernels/devices.h, arena.h and
// device_memory.h choose between them. Devices are numbered from 0.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "kernels/arena.h"
#include "kernels/red_zones.h"
#include "kernels/runtime.h"

// clang-format off
#define TAUT_GPU_BACKENDS(...)     \
  namespace simt { __VA_ARGS__ }   \
  namespace cuda { __VA_ARGS__ }
// clang-format on

// The call in the namespace of the device's backend; throws Error(kUnavailable) for one that this build does not have.
// A bare build (TAUT_BARE) has no SIMT runner, one without nvcc no CUDA.
#if defined(TAUT_WITH_CUDA) && !defined(TAUT_BARE)
#define TAUT_ON_GPU(device_, ...) \
  ((device_).kind == ::taut::DeviceKind::kCuda ? ::taut::cuda::__VA_ARGS__ : ::taut::simt::__VA_ARGS__)
#elif defined(TAUT_WITH_CUDA)
#define TAUT_ON_GPU(device_, ...) (::taut::expect_backend((device_).kind), ::taut::cuda::__VA_ARGS__)
#elif !defined(TAUT_BARE)
#define TAUT_ON_GPU(device_, ...) (::taut::expect_backend((device_).kind), ::taut::simt::__VA_ARGS__)
#endif

namespace taut {

inline void expect_backend([[maybe_unused]] DeviceKind kind) {
#ifndef TAUT_WITH_CUDA
  if (kind == DeviceKind::kCuda) backend_not_built(kind);
#endif
#ifdef TAUT_BARE
  if (kind == DeviceKind::kSimt) backend_not_built(kind);
#endif
}

// What find_devices says.
struct DeviceList {
  int count = 0;     // 0 where none can run this build's kernels
  int first = 0;     // that can
  std::string note;  // names, memory, compute capabilities and versions; without a device the reason
};

TAUT_GPU_BACKENDS(
    // ---- devices and streams ----------------------------------------------------------------------------------------
    DeviceList find_devices();    // never throws
    std::string libraries();      // of the vendor, that were found: "cuBLASLt, cuDNN"; own kernels stand in for others
    void use_device(int device);  // of this thread from now on; Error(kUnavailable) where it is not there
    int device_in_use();          // the one last used by this thread, 0 at first
    void synchronize(int device); Stream compute_stream(int device);  // where kernels run; uses the device
    Stream copy_stream(int device);                                   // where prefetched data comes

    // Seconds between the begin and the end of what `work` asks of the compute stream, by the device's clock; waits for
    // it.
    double seconds_of(const std::function<void()>& work, int device);

    // ---- memory -----------------------------------------------------------------------------------------------------
    void* allocate(size_t bytes, int device);          // 256-byte aligned
    void release(void* pointer, int device) noexcept;  // kernels of the compute stream may still use it
    ArenaStats memory_stats(int device); void reset_memory_peak(int device);
    // kernels/red_zones.h; a canary comes to the host to be looked at, which waits for the compute stream.
    void set_red_zones(bool on, int device); std::vector<RedZoneFault> take_red_zone_faults(int device);
    // Bytes move in the order of the compute stream. To the host: returns when they are there. From the host: returns
    // when the source may change.
    void copy_to_host(void* to, const void* from, size_t bytes, int device);
    void copy_from_host(void* to, const void* from, size_t bytes, int device);
    // From the host beside the compute stream, which must await it; returns when the source may change.
    void copy_ahead(void* to, const void* from, size_t bytes, int device); void await_copies_ahead(int device);
    void copy_on_device(void* to, const void* from, size_t bytes, int device);
    void fill_zero(void* to, size_t bytes, int device);)

}  // namespace taut
