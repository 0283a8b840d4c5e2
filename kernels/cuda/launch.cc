#include <fmt/format.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

#include "kernels/cuda/check.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
// After CUDA's own words.
#include "kernels/cuda/launch.h"

namespace taut::TAUT_GPU {
namespace {

constexpr size_t kAlwaysAllowed = 48 << 10;  // bytes of dynamic shared memory

bool synchronous() {
  static const bool on = [] {
    const char* text = std::getenv("TAUT_SYNC");
    return text != nullptr && std::string_view(text) == "1";
  }();
  return on;
}

std::string call_of(const char* api, [[maybe_unused]] const void* kernel) {
#if defined(TAUT_CUDA_TWIN) || CUDART_VERSION >= 12030  // older runtimes do not know their kernels' names
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr) return fmt::format("{} of {}", api, name);
#endif
  return api;
}

// The most that was asked for so far, by kernel; an attribute belongs to a kernel on a device.
void allow_shared(const void* kernel, size_t bytes) {
  static std::mutex mutex;
  static auto* const allowed = new std::map<std::pair<const void*, int>, size_t>;
  const std::lock_guard lock(mutex);
  size_t& most = (*allowed)[{kernel, device_in_use()}];
  if (bytes <= most) return;
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status != cudaSuccess) {
    cudaGetLastError();
    fail(Exit::kUnavailable,
         "[{}] {}: {} ({}): the kernel needs {} bytes of shared memory a block, this device gives {}; hint: --device "
         "cpu",
         kBackend, call_of("cudaFuncSetAttribute", kernel), cudaGetErrorString(status), cudaGetErrorName(status), bytes,
         most_shared_bytes());
  }
  most = bytes;
}

}  // namespace

void launch_kernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, Stream stream) {
  if (shared_bytes > kAlwaysAllowed) allow_shared(kernel, shared_bytes);
  const auto to = static_cast<cudaStream_t>(stream.handle);
  const cudaError_t status = cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, to);
  if (status != cudaSuccess) check(status, call_of("cudaLaunchKernel", kernel).c_str());
  if (synchronous()) end_call(stream, call_of("a launch", kernel).c_str());
}

void end_call(Stream stream, const char* call) {
  if (!synchronous() || is_capturing(device_in_use())) return;
  const cudaError_t ended = cudaStreamSynchronize(static_cast<cudaStream_t>(stream.handle));
  if (ended != cudaSuccess) check(ended, fmt::format("cudaStreamSynchronize after {}", call).c_str());
}

size_t most_shared_bytes() {
  static std::mutex mutex;
  static auto* const known = new std::map<int, int>;
  const int device = device_in_use();
  const std::lock_guard lock(mutex);
  int& bytes = (*known)[device];
  if (bytes == 0)
    check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return static_cast<size_t>(bytes);
}

}  // namespace taut::TAUT_GPU
