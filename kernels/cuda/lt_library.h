// The entry points of cuBLASLt that the backend uses. The library is opened when it is first asked for: a machine
// without it runs the own kernels. Its twin (kernels/simt/cuda_twin/lt_twin.h) is always there.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/library.h"

#ifdef TAUT_CUDA_TWIN
#include "kernels/simt/cuda_twin/lt_twin.h"
#define TAUT_HAS_LT
#elif __has_include(<cublasLt.h>)
#include <cublasLt.h>
#define TAUT_HAS_LT
#endif

namespace taut::TAUT_GPU {

#ifdef TAUT_HAS_LT
// NAME(member, function)
#define TAUT_LT_FUNCTIONS(NAME)                              \
  NAME(create, cublasLtCreate)                               \
  NAME(version, cublasLtGetVersion)                          \
  NAME(desc_create, cublasLtMatmulDescCreate)                \
  NAME(desc_destroy, cublasLtMatmulDescDestroy)              \
  NAME(desc_set, cublasLtMatmulDescSetAttribute)             \
  NAME(layout_create, cublasLtMatrixLayoutCreate)            \
  NAME(layout_destroy, cublasLtMatrixLayoutDestroy)          \
  NAME(layout_set, cublasLtMatrixLayoutSetAttribute)         \
  NAME(preference_create, cublasLtMatmulPreferenceCreate)    \
  NAME(preference_destroy, cublasLtMatmulPreferenceDestroy)  \
  NAME(preference_set, cublasLtMatmulPreferenceSetAttribute) \
  NAME(heuristic, cublasLtMatmulAlgoGetHeuristic)            \
  NAME(matmul, cublasLtMatmul)

struct LtLibrary {
  TAUT_LT_FUNCTIONS(TAUT_MEMBER)
};

// Null where it is not installed.
const LtLibrary* lt_library();
#endif

}  // namespace taut::TAUT_GPU
