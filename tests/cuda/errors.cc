// Errors of the runtime: what is said, with which exit code.
#include "kernels/devices.h"

#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "kernels/device_memory.h"
#include "tests/cuda/injected.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

}  // namespace

TEST_CASE("no driver, an old driver and no GPU are told apart") {
  const Injected restored;
  CHECK(backend_state(DeviceKind::kSimt).available);
  const auto note = [](cuda_twin::cudaError_t error, bool driver) {
    cuda_twin::fail_call("cudaGetDeviceCount", 1, error, true);
    if (!driver) cuda_twin::fail_call("cudaDriverGetVersion", 1, error, true);
    const BackendState state = backend_state(DeviceKind::kSimt);
    cuda_twin::fail_no_more();
    CHECK(!state.available);
    return state.note;
  };
  CHECK(note(cuda_twin::cudaErrorInsufficientDriver, false).find("no NVIDIA driver") != std::string::npos);
  CHECK(note(cuda_twin::cudaErrorInsufficientDriver, true).find("was built with 13.0") != std::string::npos);
  CHECK(note(cuda_twin::cudaErrorNoDevice, true).find("sees no GPU") != std::string::npos);
}

TEST_CASE("a device by its name, and auto") {
  CHECK(device_by_name("auto") == best_device());
  CHECK(device_by_name("cuda:12") == Device{DeviceKind::kCuda, 12});
  for (const char* name : {"gpu", "simt:0", "cuda:", "cuda:-1", "auto:1", ""})
    CHECK_THROWS_WITH_AS(device_by_name(name), doctest::Contains("expected cpu, simt, cuda, cuda:INDEX or auto"),
                         Error);
}

TEST_CASE("a sticky error names the call and the kernel, and every call after it fails") {
  const Injected restored;
  const Tensor x = Tensor::full({5}, 2, DType::kF32, kSimt);
  cuda_twin::fail_call("cudaLaunchKernel", 1, cuda_twin::cudaErrorLaunchFailure);
  CHECK_THROWS_WITH_AS(ops::square(Var(x)), doctest::Contains("cudaLaunchKernel of unary_forward_kernel"), Error);
  try {
    x.to_doubles();
    FAIL("expected an error");
  } catch (const Error& e) {
    CHECK(e.code() == Exit::kUnavailable);
    CHECK(std::string(e.what()).find("TAUT_SYNC=1") != std::string::npos);
  }
  cuda_twin::fail_no_more();
  CHECK(x.to_doubles() == std::vector<double>(5, 2));
}

TEST_CASE("copies and fills beyond what somebody owns, and what nobody wrote, are faults") {
  const Injected restored;
  const Tensor there = Tensor::full({8}, 2, DType::kF32, kSimt), fresh = Tensor::empty({8}, DType::kF32, kSimt);
  const auto message_of = [](const auto& work) -> std::string {
    try {
      work();
    } catch (const Error& e) {
      return e.what();
    }
    return {};
  };
  char host[64] = {};
  const auto copy = [&](void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
    return message_of([&] {
      copy_memory(to, to_device, from, from_device, bytes);
      synchronize(kSimt);
    });
  };
  CHECK(copy(host, {}, there.raw(), kSimt, 32).empty());
  CHECK(copy(host, {}, there.raw(), kSimt, 33).find("out-of-bounds") != std::string::npos);
  CHECK(copy(there.raw(), kSimt, host, {}, 32).empty());
  CHECK(copy(there.raw(), kSimt, host, {}, 33).find("out-of-bounds") != std::string::npos);
  CHECK(message_of([&] { zero_memory(there.raw(), kSimt, 33); }).find("out-of-bounds") != std::string::npos);
  CHECK(copy(host, {}, fresh.raw(), kSimt, 32).find("uninitialised") != std::string::npos);
  // Half of it was written, and a copy inside the device makes no more of it.
  const Tensor half = Tensor::empty({8}, DType::kF32, kSimt);
  CHECK(copy(fresh.raw(), kSimt, host, {}, 16).empty());
  CHECK(copy(half.raw(), kSimt, fresh.raw(), kSimt, 32).empty());
  CHECK(copy(host, {}, half.raw(), kSimt, 16).empty());
  CHECK(copy(host, {}, half.raw(), kSimt, 20).find("uninitialised") != std::string::npos);
}

}  // namespace taut
