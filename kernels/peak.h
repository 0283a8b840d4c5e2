// The fastest this processor multiplies and adds: independent FMA chains in registers, the measure of fraction-of-peak.
#pragma once

#include <cstdint>

namespace taut {

// Runs `steps` steps of the loop on the calling thread and returns the floating-point operations done (a multiply-add
// is two). `sink` receives a value that depends on all of them. Exists for the CPU only, hence not BOTH_BACKENDS.
namespace avx2 {
double run_fma_chains(int64_t steps, float* sink);
}
namespace avx512 {
double run_fma_chains(int64_t steps, float* sink);
}

}  // namespace taut
