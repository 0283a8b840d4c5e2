// Tensor cores and asynchronous copies: one PTX instruction a function, and beside it what the SIMT runner does in its
// place (kernels/simt/tensor_core.h). Fragments, from the PTX ISA ("Warp-level matrix instructions"); lane = 4 group +
// t:
//
//   mma_bf16, m16n8k16     a[0] row group, columns 2t and 2t + 1; a[1] row group + 8; a[2], a[3] the same 8 columns on
//                          b[0] rows 2t and 2t + 1, column group; b[1] 8 rows down
//   mma_tf32, m16n8k8      a[0] row group, column t; a[1] row group + 8; a[2], a[3] the same 4 columns on
//                          b[0] row t, column group; b[1] 4 rows down
//   both                   d[0], d[1] row group, columns 2t and 2t + 1; d[2], d[3] row group + 8
//
// Of two bf16 in a register the lower half is the first.
#pragma once

#include "kernels/convert.h"
#include "kernels/device.cuh"

#ifdef TAUT_SIMT
#include "kernels/simt/tensor_core.h"
// Where a warp function is called, for messages.
#define TAUT_PLACE , int line = __builtin_LINE(), const char *file = __builtin_FILE()
#else
#define TAUT_PLACE
#endif

namespace taut::TAUT_GPU {

#ifndef TAUT_SIMT
__device__ __forceinline__ unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
#endif

// d (16, 8) += a (16, 16) b (16, 8).
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] TAUT_PLACE) {
#ifdef TAUT_SIMT
  runner::mma_bf16(d, a, b, {file, line});
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// d (16, 8) += a (16, 8) b (8, 8); operands are results of to_tf32.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2] TAUT_PLACE) {
#ifdef TAUT_SIMT
  runner::mma_tf32(d, a, b, {file, line});
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// The bits of a float as tf32: 10 bits of significand, to nearest, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(uint32_t bits) {
#ifdef TAUT_SIMT
  return tf32_bits(bits);
#else
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
#endif
}

// Four 8x8 matrices of 16-bit elements: lane 8 m + i gives row i of matrix m, 16 bytes in shared memory; r[m] is row
// group, columns 2t and 2t + 1 of matrix m. A row of four 32-bit elements is as good: r[m] is row group, column t.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row TAUT_PLACE) {
#ifdef TAUT_SIMT
  runner::load_matrices(r, row, false, {file, line});
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// The same of the transposed matrices: r[m] is rows 2t and 2t + 1, column group of what the lanes' rows make up.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row TAUT_PLACE) {
#ifdef TAUT_SIMT
  runner::load_matrices(r, row, true, {file, line});
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#endif
}

// Begins to copy `bytes` (0 to 16) from global to shared memory, zeros behind them: 16 in all, both addresses multiples
// of 16. This thread sees them after wait_for_copies, others after a barrier behind that.
__device__ __forceinline__ void copy_async(void* to, const void* from, int bytes) {
#ifdef TAUT_SIMT
  runner::copy_async(to, from, bytes);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
#endif
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void commit_copies() {
#ifdef TAUT_SIMT
  runner::commit_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `pending` of this thread's groups are on their way.
template <int pending>
__device__ __forceinline__ void wait_for_copies() {
#ifdef TAUT_SIMT
  runner::wait_for_copies(pending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

// Two numbers rounded to bf16 in one register, `low` the first.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#ifdef TAUT_SIMT
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
#else
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

}  // namespace taut::TAUT_GPU
