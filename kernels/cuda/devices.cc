// Devices, streams and waiting.
#include <fmt/format.h>

#include <map>
#include <mutex>

#include "kernels/cuda/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut::TAUT_GPU {
namespace {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

// Why there is no device. A driver's version is the newest toolkit it runs; without a driver it is 0.
std::string reason(cudaError_t status) {
  int driver = 0, toolkit = 0;
  cudaRuntimeGetVersion(&toolkit);
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver is installed or loaded; hint: nvidia-smi";
  if (status == cudaErrorInsufficientDriver)
    return fmt::format(
        "the driver runs CUDA up to {}, this program was built with {}; hint: a newer driver, or build "
        "with a toolkit no newer than the driver",
        version_text(driver), version_text(toolkit));
  if (status == cudaErrorNoDevice || status == cudaSuccess)
    return "the driver sees no GPU; hint: CUDA_VISIBLE_DEVICES, permissions of /dev/nvidia*";
  return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
}

struct Streams {
  cudaStream_t compute = nullptr, copy = nullptr;
};

std::mutex streams_mutex;

Streams& streams_of(int device) {
  static std::map<int, Streams>* const all = new std::map<int, Streams>;  // never destroyed, as the arena
  const std::lock_guard lock(streams_mutex);
  Streams& s = (*all)[device];
  if (s.compute == nullptr) {
    check(cudaStreamCreateWithFlags(&s.compute, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    check(cudaStreamCreateWithFlags(&s.copy, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  return s;
}

thread_local int in_use = -1;

}  // namespace

DeviceList find_devices() {
  DeviceList list;
  const cudaError_t status = cudaGetDeviceCount(&list.count);
  if (status != cudaSuccess || list.count == 0) {
    cudaGetLastError();
    list.count = 0;
    list.note = reason(status);
    return list;
  }
  int driver = 0, toolkit = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&toolkit);
  for (int i = 0; i < list.count; ++i) {
    cudaDeviceProp p{};
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
    list.note += fmt::format("{}{}: {}, {:.0f} GiB, sm_{}{}", i == 0 ? "" : "; ", i, p.name,
                             static_cast<double>(p.totalGlobalMem) / (1 << 30), p.major, p.minor);
  }
  list.note += fmt::format("; driver for CUDA {}, toolkit {}", version_text(driver), version_text(toolkit));
  return list;
}

void use_device(int device) {
  if (in_use == device) return;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    cudaGetLastError();
    fail(Exit::kUnavailable, "[{}] cudaGetDeviceCount: {}", kBackend, reason(status));
  }
  if (device >= count)
    fail(Exit::kUnavailable, "[{}] expected a device below {}, got {}; hint: `taut doctor --backends`", kBackend, count,
         device);
  check(cudaSetDevice(device), "cudaSetDevice");
  in_use = device;
}

int device_in_use() { return in_use < 0 ? 0 : in_use; }

void synchronize(int device) {
  use_device(device);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

Stream compute_stream(int device) {
  use_device(device);
  return {streams_of(device).compute};
}

Stream copy_stream(int device) {
  use_device(device);
  return {streams_of(device).copy};
}

}  // namespace taut::TAUT_GPU
