// The SIMT runner's side of the wrappers in kernels/tensor_core.cuh: products of fragments by a warp, loads of matrices
// from shared memory, and copies into shared memory that are done only when they are waited for.
#pragma once

#include <cstdint>

#include "kernels/simt/runner.h"

namespace taut::runner {

// mma_bf16 and mma_tf32 since the program began, and their multiply-adds.
extern int64_t tensor_product_count, tensor_fma_count;

// d = a b + d for a warp; the fragments are those of kernels/tensor_core.cuh. bf16: one chain of f32 FMAs an element, k
// ascending, from d; tf32: the same over operands without their low 13 bits, which a tensor core does not read.
void mma_bf16(float* d, const uint32_t* a, const uint32_t* b, Place place);
void mma_tf32(float* d, const uint32_t* a, const uint32_t* b, Place place);

// Every lane gives a row of 16 bytes in shared memory and gets its part of four 8x8 matrices of 16-bit elements.
void load_matrices(uint32_t* r, const void* row, bool transposed, Place place);

// `bytes` (0 to 16) from global memory and zeros behind them, 16 in all, to shared memory: for the detectors the target
// is written when the copy is issued, unwritten until it is waited for, and written again then.
void copy_async(void* to, const void* from, int bytes);
void commit_copies();
void wait_for_copies(int pending);  // until at most so many of this thread's groups are pending

}  // namespace taut::runner
