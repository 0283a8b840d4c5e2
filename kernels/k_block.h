// The blocks of k of a matrix product (docs/numerics.md), for every backend.
#pragma once

#include <cstdint>

namespace taut {

// Length of the blocks, the contract's kb: ceil(k / most) blocks, evenly long, rounded up to 16.
constexpr int64_t k_block(int64_t k, int64_t most = 384) {
  const int64_t blocks = (k + most - 1) / most;
  return blocks <= 1 ? k : (k + 16 * blocks - 1) / (16 * blocks) * 16;
}

}  // namespace taut
