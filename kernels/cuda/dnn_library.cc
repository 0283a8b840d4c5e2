#include "kernels/cuda/dnn_library.h"

namespace taut::TAUT_GPU {

#ifdef TAUT_HAS_DNN
const DnnLibrary* dnn_library() {
  static const DnnLibrary* const found = open_library<DnnLibrary>(
      "cudnn", CUDNN_MAJOR, []([[maybe_unused]] auto& file, DnnLibrary& library) { TAUT_DNN_FUNCTIONS(TAUT_ENTRY) });
  return found;
}
#endif

}  // namespace taut::TAUT_GPU
