#include "tensor/random.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/error.h"
#include "tensor/portable_math.h"

namespace taut {
namespace {

// splitmix64's finaliser: spreads seed and purpose over the key.
uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

Random::Random(uint64_t seed, Purpose purpose, uint64_t step, uint64_t sample) {
  TAUT_CHECK(step <= UINT32_MAX, "[random] expected a step below 2^32, got {}", step);
  const uint64_t key = mix(seed ^ mix(static_cast<uint64_t>(purpose)));
  key_ = {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)};
  counter_ = {0, static_cast<uint32_t>(step), static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)};
  block_ = {};
}

uint32_t Random::bits() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

uint64_t Random::bits64() {
  const uint64_t high = bits();
  return high << 32 | bits();
}

float Random::uniform() { return static_cast<float>(bits() >> 8) * 0x1p-24f; }
double Random::uniform_double() { return static_cast<double>(bits64() >> 11) * 0x1p-53; }
double Random::uniform(double low, double high) { return low + (high - low) * uniform_double(); }

double Random::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  double u, v, s;
  do {
    u = 2 * uniform_double() - 1;
    v = 2 * uniform_double() - 1;
    s = u * u + v * v;
  } while (s >= 1 || s == 0);
  const double factor = std::sqrt(-2 * portable_log(s) / s);
  spare_ = v * factor;
  has_spare_ = true;
  return u * factor;
}

uint64_t Random::below(uint64_t n) {
  TAUT_CHECK(n >= 1, "[random] below(n) expected n >= 1, got {}", n);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % n;  // a multiple of n: what lies above would favour small values
  uint64_t x;
  do {
    x = bits64();
  } while (x >= limit);
  return x % n;
}

std::vector<int64_t> permutation(int64_t n, uint64_t seed, Purpose purpose, uint64_t step) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, purpose, step);
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[random.below(static_cast<uint64_t>(i) + 1)]);
  }
  return order;
}

}  // namespace taut
