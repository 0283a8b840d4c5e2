// Matrix products by cuBLASLt, for the modes that may (bf16, tf32): row-major products as the library's column-major
// ones of swapped operands, the epilogue fused where it is exact enough, the algorithm of each shape chosen by time
// once and remembered.
//
// Exact enough: bias and residual are added to the f32 sum before it is rounded, as here. The library's GELU is the
// tanh form, at most 4.7e-4 from erf's: below the rounding of bf16, so bf16 takes it; tf32 adds the bias there and
// computes GELU here.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda/runtime.h"
#include "kernels/matmul.h"
#include "kernels/runtime.h"

namespace taut {

// Elements of all operands of a product. Production asks for bf16 and tf32 alone: kF32, whose sums are in another order
// than the contract's, is a row to beat in the kernel lab.
enum class LtElement : uint8_t { kBF16, kTF32, kF32 };

struct LtOperands {
  const void *a, *b, *bias, *residual;
  void *c, *pre;
};

TAUT_GPU_BACKENDS(
    // As matmul (kernels/matmul.h). False, and nothing happened, where the library is not there or not in use, or has
    // no algorithm for this product (addresses and rows that 16 bytes do not divide, nothing to sum).
    bool lt_matmul(Stream stream, LtElement element, const LtOperands& operands, const MatmulShape& shape,
                   Epilogue epilogue);

    // Whether products go to the library: on `cuda` from the beginning unless TAUT_CUBLASLT=0, on `simt`, whose library
    // is a twin, when a test says so.
    void use_lt(bool on); bool lt_in_use();

    // The choices made so far, a line a product, and choices from an earlier run; lines of another version of the
    // library or another GPU, and lines that are damaged, do nothing.
    std::string lt_choices(); void add_lt_choices(const std::string& text);
    // The line of one, without its end: the product, the algorithm in hexadecimal, a checksum.
    std::string lt_choice(const std::string& product, const std::string& algorithm);
    int64_t lt_timings();  // how many products were timed by this process
    int64_t lt_calls();)   // how many it gave to the library

}  // namespace taut
