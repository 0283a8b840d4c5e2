// The CUDA runtime for the host code of this folder, which is compiled twice from one source: into the namespace `cuda`
// against the toolkit, where there is one, and into `simt` against its twin (kernels/simt/cuda_twin), so that all of it
// runs without a GPU. The build defines TAUT_GPU, and TAUT_CUDA_TWIN for the twin.
#pragma once

#include "kernels/runtime.h"

#ifdef TAUT_CUDA_TWIN
#include "kernels/simt/cuda_twin/cuda_twin.h"

namespace taut::TAUT_GPU {
using namespace ::taut::cuda_twin;  // NOLINT: the toolkit's names are global, too
constexpr DeviceKind kKind = DeviceKind::kSimt;
constexpr const char* kBackend = "simt";
// A sub-allocation ends with a gap, so that the runner sees an access beyond it; small slabs, as each is filled.
constexpr size_t kGap = 256, kSlab = size_t{1} << 20;
}  // namespace taut::TAUT_GPU
#else
#include <cuda_runtime.h>

namespace taut::TAUT_GPU {
constexpr DeviceKind kKind = DeviceKind::kCuda;
constexpr const char* kBackend = "cuda";
constexpr size_t kGap = 0, kSlab = size_t{64} << 20;
// The twin alone knows which bytes of a slab belong to somebody.
inline void twin_allocated(void*, size_t, cudaStream_t) {}
inline void twin_released(void*, size_t, cudaStream_t) {}
inline void twin_watches_copies(bool) {}
}  // namespace taut::TAUT_GPU
#endif
