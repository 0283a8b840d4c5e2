// The words of CUDA C++ for g++: what nvcc and cuda_runtime.h give a kernel, in terms of the SIMT runner. Only
// kernels/device.cuh includes it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/runtime.h"
#include "kernels/simt/runner.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

using dim3 = ::taut::runner::Dim3;

#define threadIdx (::taut::runner::words.thread)
#define blockIdx (::taut::runner::words.block)
#define blockDim (::taut::runner::words.block_size)
#define gridDim (::taut::runner::words.grid_size)

namespace taut::runner {

// Copies without an access of its own: values on their way between lanes.
template <class To, class From>
inline To bits(const From& from) {
  To to{};
  __builtin_memcpy(&to, &from, sizeof(From) < sizeof(To) ? sizeof(From) : sizeof(To));
  return to;
}

// What a shuffle asks for, in a warp of segments of `width` lanes.
struct Reach {
  int lanes, width;
  int first(int self) const { return self / width * width; }  // lane of self's segment
};
// Every lane of `mask` gets the value of the lane that Source names for it; its own where that lies in a later segment.
using Source = int (*)(int self, Reach reach);
unsigned long long shuffle_bits(const char* what, unsigned mask, unsigned long long value, Source source, Reach reach,
                                Place place);
template <class T>
inline T shuffle(const char* what, unsigned mask, T value, Reach reach, Source source, Place place) {
  return bits<T>(shuffle_bits(what, mask, bits<unsigned long long>(value), source, reach, place));
}
unsigned ballot_bits(const char* what, unsigned mask, bool predicate, Place place);

}  // namespace taut::runner

// NOLINTBEGIN: the names are CUDA's
inline void __syncthreads(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  ::taut::runner::block_barrier({file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  ::taut::runner::warp_exchange("__syncwarp", mask & ::taut::runner::lanes_running(), nullptr, 0, nullptr, 0, nullptr,
                                {file, line});
}
inline unsigned __activemask() { return ::taut::runner::lanes_running(); }

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, int line = __builtin_LINE(),
                     const char* file = __builtin_FILE()) {
  return ::taut::runner::shuffle("__shfl_sync", mask, value, {lane, width},
                                 [](int self, ::taut::runner::Reach r) { return r.first(self) + r.lanes % r.width; },
                                 {file, line});
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, int line = __builtin_LINE(),
                         const char* file = __builtin_FILE()) {
  return ::taut::runner::shuffle("__shfl_xor_sync", mask, value, {lanes, width},
                                 [](int self, ::taut::runner::Reach r) { return self ^ r.lanes; }, {file, line});
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32, int line = __builtin_LINE(),
                          const char* file = __builtin_FILE()) {
  return ::taut::runner::shuffle("__shfl_down_sync", mask, value, {static_cast<int>(lanes), width},
                                 [](int self, ::taut::runner::Reach r) { return self + r.lanes; }, {file, line});
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32, int line = __builtin_LINE(),
                        const char* file = __builtin_FILE()) {
  return ::taut::runner::shuffle(
      "__shfl_up_sync", mask, value, {static_cast<int>(lanes), width},
      [](int self, ::taut::runner::Reach r) { return self - r.lanes < r.first(self) ? self : self - r.lanes; },
      {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE(),
                              const char* file = __builtin_FILE()) {
  return ::taut::runner::ballot_bits("__ballot_sync", mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  return ::taut::runner::ballot_bits("__any_sync", mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
  return ::taut::runner::ballot_bits("__all_sync", mask, predicate == 0, {file, line}) == 0;
}

__attribute__((noinline)) int atomicAdd(int* address, int value);
__attribute__((noinline)) unsigned atomicAdd(unsigned* address, unsigned value);
__attribute__((noinline)) unsigned long long atomicAdd(unsigned long long* address, unsigned long long value);
inline void __threadfence() {}
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
// NOLINTEND
