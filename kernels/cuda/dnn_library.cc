#include "kernels/cuda/dnn_library.h"

#ifdef TAUT_HAS_DNN
#ifndef TAUT_CUDA_TWIN
#include <dlfcn.h>

#include <string>
#endif

namespace taut::TAUT_GPU {

const DnnLibrary* dnn_library() {
#ifdef TAUT_CUDA_TWIN
#define TAUT_ENTRY(member, function) &function,
  static const DnnLibrary library{TAUT_DNN_FUNCTIONS(TAUT_ENTRY)};
  return &library;
#else
  static const DnnLibrary* const found = []() -> const DnnLibrary* {
    const std::string name = "libcudnn.so." + std::to_string(CUDNN_MAJOR);  // that the headers are of
    void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return nullptr;
    static DnnLibrary library;
    bool all = true;
#define TAUT_ENTRY(member, function)                                                \
  library.member = reinterpret_cast<decltype(&function)>(dlsym(handle, #function)); \
  all = all && library.member != nullptr;
    TAUT_DNN_FUNCTIONS(TAUT_ENTRY)
    return all ? &library : nullptr;
  }();
  return found;
#endif
#undef TAUT_ENTRY
}

}  // namespace taut::TAUT_GPU
#endif
