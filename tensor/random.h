// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), keyed by (seed, purpose, step, sample).
//
// The same key gives the same numbers on every machine, whatever the thread count, the batch or the resume point: only
// integer arithmetic, IEEE + - * / and sqrt are used, never libm, whose bits depend on its version.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace taut {

// What a stream of random numbers is for; streams of different purposes never overlap.
enum class Purpose : uint32_t {
  kInit = 1,
  kShuffle = 2,
  kDraw = 3,
  kSplit = 4,
  kAttackStart = 5,
  kProcedural = 6,
  kShift = 7,
  kBootstrap = 8,
  kTest = 9,
};

// One Philox block: four random words of a 128-bit counter under a 64-bit key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream of numbers. `step` must be below 2^32.
class Random {
 public:
  Random(uint64_t seed, Purpose purpose, uint64_t step = 0, uint64_t sample = 0);

  uint32_t bits();
  uint64_t bits64();
  float uniform();          // [0, 1), multiples of 2^-24
  double uniform_double();  // [0, 1), multiples of 2^-53
  double uniform(double low, double high);
  double normal();             // mean 0, variance 1 (Marsaglia's polar method)
  uint64_t below(uint64_t n);  // uniform in [0, n), n >= 1, without bias

 private:
  std::array<uint32_t, 4> counter_, block_;
  std::array<uint32_t, 2> key_;
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

// A random permutation of 0 .. n-1 (Fisher-Yates).
std::vector<int64_t> permutation(int64_t n, uint64_t seed, Purpose purpose, uint64_t step = 0);

}  // namespace taut
