// The fastest this processor multiplies and adds (independent FMA chains in registers, the measure of
// fraction-of-peak), and reads.
#pragma once

#include <cstdint>

namespace taut {

// Runs `steps` steps of the loop on the calling thread and returns the floating-point operations done (a multiply-add
// is two). `sink` receives a value that depends on all of them. Exists for the CPU only, hence not BOTH_BACKENDS.
namespace avx2 {
double run_fma_chains(int64_t steps, float* sink);
void read_floats(const float* from, int64_t count, float* sink);
void update_floats(float* at, int64_t count);
}  // namespace avx2
namespace avx512 {
double run_fma_chains(int64_t steps, float* sink);
// Adds up `count` floats, a multiple of kReadStep: the fastest that this processor reads.
void read_floats(const float* from, int64_t count, float* sink);
void update_floats(float* at, int64_t count);  // multiplies them in place; likewise
}  // namespace avx512
constexpr int64_t kReadStep = 128;

}  // namespace taut
