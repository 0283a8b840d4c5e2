// Addresses of the program's own code and constants: in 32 bits, in words, and by kind.
#pragma once

#include <cstdint>
#include <string>

extern "C" const char __executable_start;  // the linker's

namespace taut::runner {

// Code addresses relative to the program's beginning, so that the record of an access holds one.
inline uint32_t to_short(uintptr_t code) {
  return static_cast<uint32_t>(code - reinterpret_cast<uintptr_t>(&__executable_start));
}
inline uintptr_t from_short(uint32_t code) { return reinterpret_cast<uintptr_t>(&__executable_start) + code; }

std::string describe_site(uintptr_t code);  // "kernels/norm.cu:57" where there is debug information
std::string describe_kernel(const void* kernel);
// "norm_kernel<float, 24>" of a demangled function.
std::string short_kernel_name(std::string demangled);

// What device code may read outside device memory: the program's constants, and the arguments of a launch, which lie on
// the stack of the host thread above the launch.
bool is_constant(uintptr_t address);

}  // namespace taut::runner
