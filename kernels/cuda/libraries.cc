// Which of the vendor's libraries this machine has.
#include <string>

#include "kernels/cuda/dnn_library.h"
#include "kernels/cuda/lt_library.h"
#include "kernels/cuda/runtime.h"

namespace taut::TAUT_GPU {

std::string libraries() {
  std::string found;
#ifdef TAUT_HAS_LT
  if (lt_library() != nullptr) found += "cuBLASLt";
#endif
#ifdef TAUT_HAS_DNN
  if (dnn_library() != nullptr) found += found.empty() ? "cuDNN" : ", cuDNN";
#endif
  return found;
}

}  // namespace taut::TAUT_GPU
