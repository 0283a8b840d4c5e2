// What g++ calls at every access of a file compiled with -fsanitize=thread. The sanitizer itself is not linked: these
// are its functions, and they tell the runner.
#include <cstddef>
#include <cstdint>

#include "kernels/simt/counts.h"
#include "kernels/simt/runner.h"
#include "kernels/simt/shadow.h"

namespace taut::runner {
namespace {

bool inside = false;  // the runner's own code may contain instrumented functions of the standard library

inline void access(const void* pointer, size_t bytes, Access kind, void* site, bool counts = true) {
  if (!watching || inside) return;
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  if (address - reinterpret_cast<uintptr_t>(&words) < sizeof words) return;
  inside = true;
  const auto code = reinterpret_cast<uintptr_t>(site);
  if (detecting) check_access(address, bytes, kind, code);
  if (counting && counts) count_access(address, bytes, kind == Access::kWrite, code);
  inside = false;
}

}  // namespace

void leave_hook() { inside = false; }

void note_access(const void* pointer, size_t bytes, Access kind, void* site, bool counts) {
  access(pointer, bytes, kind, site, counts);
}

}  // namespace taut::runner

using taut::runner::Access;
using taut::runner::access;

// clang-format off
extern "C" {
#define TAUT_HOOK(bytes)                                                                                        \
  void __tsan_read##bytes(void* p) { access(p, bytes, Access::kRead, __builtin_return_address(0)); }            \
  void __tsan_write##bytes(void* p) { access(p, bytes, Access::kWrite, __builtin_return_address(0)); }          \
  void __tsan_unaligned_read##bytes(void* p) { access(p, bytes, Access::kRead, __builtin_return_address(0)); }  \
  void __tsan_unaligned_write##bytes(void* p) { access(p, bytes, Access::kWrite, __builtin_return_address(0)); }
TAUT_HOOK(1)
TAUT_HOOK(2)
TAUT_HOOK(4)
TAUT_HOOK(8)
TAUT_HOOK(16)
#undef TAUT_HOOK
void __tsan_read_range(void* p, size_t n) { access(p, n, Access::kRead, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t n) { access(p, n, Access::kWrite, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
// clang-format on
