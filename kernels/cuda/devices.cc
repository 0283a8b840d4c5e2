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

// Why a GPU cannot run this build's kernels, which are compiled for TAUT_CUDA_LEAST_ARCH and, as PTX, for what comes
// after it; empty where it can.
std::string unfit(const cudaDeviceProp& p) {
  const int arch = 10 * p.major + p.minor;
  constexpr int kNeeded = 80;  // asynchronous copies, bf16 on tensor cores
  if (arch < kNeeded)
    return fmt::format("is sm_{}, the kernels need sm_{}; hint: --device cpu, or simt", arch, kNeeded);
  if (arch >= TAUT_CUDA_LEAST_ARCH) return {};
  return fmt::format(
      "is sm_{}, this program was built for sm_{} and what comes after it; hint: TAUT_CUDA_ARCH={} ./run build", arch,
      TAUT_CUDA_LEAST_ARCH, arch);
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
  int fit = 0;
  for (int i = 0; i < list.count; ++i) {
    cudaDeviceProp p{};
    if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
    const std::string reason = unfit(p);
    if (reason.empty() && fit++ == 0) list.first = i;
    list.note += fmt::format("{}{}: {}, {:.0f} GiB, {}", i == 0 ? "" : "; ", i, p.name,
                             static_cast<double>(p.totalGlobalMem) / (1 << 30),
                             reason.empty() ? fmt::format("sm_{}{}", p.major, p.minor) : reason);
  }
  if (fit == 0) list.count = 0;
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
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  if (const std::string reason = unfit(p); !reason.empty())
    fail(Exit::kUnavailable, "[{}] device {}, {}, {}", kBackend, device, p.name, reason);
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
