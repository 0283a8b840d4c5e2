// What every `.cu` file includes: CUDA C++ for two compilers. nvcc compiles the file for a GPU, into the namespace
// `cuda`; g++ compiles it for the SIMT runner, into `simt`; the build defines TAUT_GPU and TAUT_MATH so. A file is
// written in ordinary CUDA C++ with two habits: kernels are started by `launch`, and shared memory comes from `Shared`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/runtime.h"

#ifdef TAUT_SIMT
#include "kernels/simt/words.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif
#include "kernels/cuda/launch.h"
#include "kernels/math.h"

namespace taut::TAUT_GPU {

constexpr int kWarpSize = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Starts `kernel`; a grid without blocks starts nothing. Arguments are converted to the kernel's parameters.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  [&](Parameters... values) {
#ifdef TAUT_SIMT
    // The twin takes a call, and copies it as CUDA copies the arguments.
    const auto call = [=] { kernel(values...); };
    size_t size = sizeof call;
    void (*run)(void*) = [](void* c) { (*static_cast<decltype(call)*>(c))(); };
    void* pointers[] = {reinterpret_cast<void*>(run), const_cast<void*>(static_cast<const void*>(&call)), &size};
#else
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&values))..., nullptr};
#endif
    launch_kernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared_bytes, stream);
  }(static_cast<Parameters>(arguments)...);
}

// Shared memory of the block, taken piece by piece in the same order by every thread: 16-byte aligned arrays.
//   Shared shared; float* tile = shared.take<float>(rows * cols);
// The launch gives the sum of the pieces, each rounded up to 16 bytes.
class Shared {
 public:
  template <class T>
  __device__ __forceinline__ T* take(size_t count) {
#ifdef TAUT_SIMT
    return static_cast<T*>(runner::take_shared(count * sizeof(T), cursor_));
#else
    extern __shared__ __align__(16) unsigned char all[];
    T* p = reinterpret_cast<T*>(all + cursor_);
    cursor_ += (count * sizeof(T) + 15) / 16 * 16;
    return p;
#endif
  }

 private:
#ifdef TAUT_SIMT
  size_t cursor_[2] = {0, 0};
#else
  size_t cursor_ = 0;
#endif
};

// Four numbers in one access of 16 bytes; the address is a multiple of 16.
#ifdef TAUT_SIMT
using Float4 = float __attribute__((vector_size(16)));
__device__ __forceinline__ Float4 load4(const float* p) { return *reinterpret_cast<const Float4*>(p); }
__device__ __forceinline__ void store4(float* p, Float4 v) { *reinterpret_cast<Float4*>(p) = v; }
__device__ __forceinline__ float element(const Float4& v, int i) { return v[i]; }
__device__ __forceinline__ Float4 make4(float a, float b, float c, float d) { return Float4{a, b, c, d}; }
// Two numbers in one access of 8 bytes.
__device__ __forceinline__ void store2(float* p, float a, float b) {
  using Float2 = float __attribute__((vector_size(8)));
  *reinterpret_cast<Float2*>(p) = Float2{a, b};
}
#else
using Float4 = float4;
__device__ __forceinline__ Float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ __forceinline__ void store4(float* p, Float4 v) { *reinterpret_cast<float4*>(p) = v; }
__device__ __forceinline__ float element(const Float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
__device__ __forceinline__ Float4 make4(float a, float b, float c, float d) { return make_float4(a, b, c, d); }
__device__ __forceinline__ void store2(float* p, float a, float b) {
  *reinterpret_cast<float2*>(p) = make_float2(a, b);
}
#endif
__host__ __device__ __forceinline__ bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

__device__ __forceinline__ int64_t thread_in_grid() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t threads_in_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }
__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }

// Number of pieces of `each` that n elements fill.
__host__ __device__ constexpr unsigned pieces(int64_t n, int64_t each) {
  return static_cast<unsigned>((n + each - 1) / each);
}
// A grid of `down` rows of `across` blocks, row by row along x: y and z end at 65,535, which images and heads can
// exceed. A block's row is blockIdx.x / across.
inline dim3 rows_of_blocks(unsigned across, unsigned down, unsigned deep = 1) { return dim3(across * down, 1, deep); }

// Blocks of `threads` for n elements in a loop over the grid; enough to fill a large GPU and no more.
inline dim3 grid_for(int64_t n, int threads) {
  constexpr int64_t kMostBlocks = 4096;
  const int64_t blocks = (n + threads - 1) / threads;
  return dim3(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
}

}  // namespace taut::TAUT_GPU
