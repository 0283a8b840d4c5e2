// What every kernel declaration and every call of a kernel needs: devices, streams, the two dispatch macros.
//
// A kernel family is `kernels/NAME.h` (declarations inside BOTH_BACKENDS), `kernels/NAME.cc` (CPU) and later
// `kernels/NAME.cu` (CUDA). The CPU file is compiled twice from one source, once for AVX2 and once for AVX-512, into
// the namespaces `avx2` and `avx512`; inside it the namespace is spelled TAUT_CPU. The `.cu` file goes into `cuda` and,
// through the SIMT runner, into `simt`. A missing half is a link error that names the function.
#pragma once

#include <cstdint>

namespace taut {

enum class DeviceKind : uint8_t { kCpu, kSimt, kCuda };

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

const char* name(DeviceKind kind);  // "cpu", "simt", "cuda"
// The device called cpu, simt, cuda, cuda:INDEX, or by auto best_device() (kernels/devices.h); throws Error(kUsage) for
// another name.
Device device_by_name(const char* text);

// Order of execution on a device. The CPU runs everything at once and ignores it. Pointers are memory of the kernel's
// device, but where a declaration says host memory: counts and norms, on which the host decides.
struct Stream {
  void* handle = nullptr;
};

Stream current_stream(Device device);

// ---- instruction set of the CPU backend -----------------------------------------------------------------------------

enum class Isa : uint8_t { kAvx2, kAvx512 };

// Chosen once, by cpuid and TAUT_ISA. Throws Error(kUnavailable) below x86-64-v3, Error(kUsage) on a bad TAUT_ISA.
Isa cpu_isa();
const char* name(Isa isa);  // "avx2", "avx512"
// One sentence: what was chosen and why.
const char* cpu_isa_reason();
// Switches to another instruction set while the program runs, for tests that compare the two; false, and no change, for
// one wider than what was chosen at the start. No kernel may be running.
bool set_cpu_isa_for_testing(Isa isa);

// ---- counting kernel calls ------------------------------------------------------------------------------------------

// A call site of a kernel; counts its calls so that a test can show which kernels did not run.
class KernelSite {
 public:
  explicit KernelSite(const char* call);  // "softmax_forward<T>(stream, ...)": the name ends at '<' or '('
  void count();

 private:
  friend int64_t kernel_calls(const char*);
  friend void reset_kernel_calls();
  const char* call_;
  int64_t calls_ = 0;
  KernelSite* next_;
};

// Calls of the kernel called `kernel` since the last reset, over all call sites. Not thread-safe against running
// kernels.
int64_t kernel_calls(const char* kernel);
void reset_kernel_calls();

[[noreturn]] void backend_not_built(DeviceKind kind);

}  // namespace taut

// clang-format off
// Declares kernels once; they exist in every backend's namespace.
#define BOTH_BACKENDS(...)              \
  namespace avx2 { __VA_ARGS__ }        \
  namespace avx512 { __VA_ARGS__ }      \
  namespace simt { __VA_ARGS__ }        \
  namespace cuda { __VA_ARGS__ }

#ifdef TAUT_WITH_SIMT
#define TAUT_CALL_SIMT(...) simt::__VA_ARGS__
#else
#define TAUT_CALL_SIMT(...) ::taut::backend_not_built(::taut::DeviceKind::kSimt)
#endif
#ifdef TAUT_WITH_CUDA
#define TAUT_CALL_CUDA(...) cuda::__VA_ARGS__
#else
#define TAUT_CALL_CUDA(...) ::taut::backend_not_built(::taut::DeviceKind::kCuda)
#endif

// Calls a kernel on a device: ON_DEVICE(x.device(), softmax_forward<T>(stream, ...)). Use inside namespace taut.
#define ON_DEVICE(device_, ...)                                          \
  do {                                                                   \
    static ::taut::KernelSite site_(#__VA_ARGS__);                       \
    site_.count();                                                       \
    switch ((device_).kind) {                                            \
      case ::taut::DeviceKind::kCpu:                                     \
        if (::taut::cpu_isa() == ::taut::Isa::kAvx512)                   \
          avx512::__VA_ARGS__;                                           \
        else                                                             \
          avx2::__VA_ARGS__;                                             \
        break;                                                           \
      case ::taut::DeviceKind::kSimt: TAUT_CALL_SIMT(__VA_ARGS__); break; \
      case ::taut::DeviceKind::kCuda: TAUT_CALL_CUDA(__VA_ARGS__); break; \
    }                                                                    \
  } while (0)
// clang-format on
