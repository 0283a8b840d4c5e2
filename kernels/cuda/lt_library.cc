#include "kernels/cuda/lt_library.h"

#ifdef TAUT_HAS_LT
#ifndef TAUT_CUDA_TWIN
#include <dlfcn.h>

#include <string>
#endif

namespace taut::TAUT_GPU {

const LtLibrary* lt_library() {
#ifdef TAUT_CUDA_TWIN
#define TAUT_ENTRY(member, function) &function,
  static const LtLibrary library{TAUT_LT_FUNCTIONS(TAUT_ENTRY)};
  return &library;
#else
  static const LtLibrary* const found = []() -> const LtLibrary* {
    // The version that the headers are of: the structures are its own.
    const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
    void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return nullptr;
    static LtLibrary library;
    bool all = true;
#define TAUT_ENTRY(member, function)                                                \
  library.member = reinterpret_cast<decltype(&function)>(dlsym(handle, #function)); \
  all = all && library.member != nullptr;
    TAUT_LT_FUNCTIONS(TAUT_ENTRY)
    return all ? &library : nullptr;
  }();
  return found;
#endif
#undef TAUT_ENTRY
}

}  // namespace taut::TAUT_GPU
#endif
