#include "kernels/cuda/lt_library.h"

namespace taut::TAUT_GPU {

#ifdef TAUT_HAS_LT
const LtLibrary* lt_library() {
  static const LtLibrary* const found =
      open_library<LtLibrary>("cublasLt", CUBLAS_VER_MAJOR,
                              []([[maybe_unused]] auto& file, LtLibrary& library) { TAUT_LT_FUNCTIONS(TAUT_ENTRY) });
  return found;
}
#endif

}  // namespace taut::TAUT_GPU
