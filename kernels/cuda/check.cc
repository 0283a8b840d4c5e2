#include "kernels/cuda/check.h"

#include <fmt/format.h>

#include "kernels/error.h"

namespace taut::TAUT_GPU {
namespace {

std::string likely_cause(cudaError_t status) {
  switch (status) {
    case cudaErrorMemoryAllocation: {
      size_t free = 0, total = 0;
      if (cudaMemGetInfo(&free, &total) != cudaSuccess) return "memory is out; hint: a smaller batch";
      return fmt::format(
          "memory is out, of the GPU ({} MiB of {} free) or of the driver's on the host; hint: a smaller batch",
          free >> 20, total >> 20);
    }
    case cudaErrorInsufficientDriver:
      return "there is no NVIDIA driver, or it is older than the toolkit of this build; hint: nvidia-smi";
    case cudaErrorNoDevice: return "the driver sees no GPU; hint: CUDA_VISIBLE_DEVICES, permissions of /dev/nvidia*";
    case cudaErrorInvalidDevice: return "no GPU has this number; hint: `taut doctor --backends`";
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorNoKernelImageForDevice:
      return "the kernels of this build are for another GPU or a newer driver; hint: cmake -DTAUT_CUDA_ARCH=...";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
      return "a kernel failed, maybe an earlier one, and the device is lost to this process; hint: TAUT_SYNC=1 names "
             "the kernel, and --device simt finds most faults";
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidValue: return "a launch or a call beyond the device's limits, a defect of this program";
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
      return "a step that is captured into a graph waited for the device, a defect of this program; hint: "
             "TAUT_GRAPHS=0";
    case cudaErrorECCUncorrectable: return "the GPU's memory is faulty";
    default: return "hint: TAUT_SYNC=1 finds the call that failed first";
  }
}

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky has been told of
  fail(status == cudaErrorMemoryAllocation ? Exit::kMemory : Exit::kUnavailable, "[{}] {}: {} ({}): {}", kBackend, call,
       cudaGetErrorString(status), cudaGetErrorName(status), likely_cause(status));
}

}  // namespace taut::TAUT_GPU
