// The entry points of cuDNN (9, backend API) that the backend uses. The library is opened when it is first asked for: a
// machine without it runs the own convolutions. Its twin (kernels/simt/cuda_twin/dnn_twin.h) is always there.
#pragma once

#include "kernels/cuda/api.h"
#include "kernels/cuda/library.h"

#ifdef TAUT_CUDA_TWIN
#include "kernels/simt/cuda_twin/dnn_twin.h"
#define TAUT_HAS_DNN
#elif __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#define TAUT_HAS_DNN
#endif

namespace taut::TAUT_GPU {

#ifdef TAUT_HAS_DNN
// NAME(member, function)
#define TAUT_DNN_FUNCTIONS(NAME)                 \
  NAME(create, cudnnCreate)                      \
  NAME(set_stream, cudnnSetStream)               \
  NAME(descriptor, cudnnBackendCreateDescriptor) \
  NAME(destroy, cudnnBackendDestroyDescriptor)   \
  NAME(finalize, cudnnBackendFinalize)           \
  NAME(set, cudnnBackendSetAttribute)            \
  NAME(get, cudnnBackendGetAttribute)            \
  NAME(execute, cudnnBackendExecute)

struct DnnLibrary {
  TAUT_DNN_FUNCTIONS(TAUT_MEMBER)
};

// Null where it is not installed.
const DnnLibrary* dnn_library();
#endif

}  // namespace taut::TAUT_GPU
