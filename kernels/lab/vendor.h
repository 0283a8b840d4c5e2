// A vendor library's f32 matrix product, to measure the own one against. Never used outside benchmarks.
#pragma once

#include <cstdint>

namespace taut {

const char* vendor_name();  // "oneDNN 2.6.3", or null where this build has none

// c (m, n) = op(a) op(b), row-major, operands as in MatmulShape. Throws Error(kUnavailable) where vendor_name() is
// null.
void vendor_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc, int threads);

}  // namespace taut
