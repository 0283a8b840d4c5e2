// How much a packed file may hold.
#pragma once

#include <cstdint>

namespace taut {

// Whether `packed` bytes make more of themselves than any honest file does: over 100 times as much, and 64 MiB besides.
constexpr bool is_bomb(int64_t packed, int64_t unpacked) {
  constexpr int64_t kRatio = 100, kFreeBytes = int64_t{64} << 20;
  return unpacked - kFreeBytes > kRatio * packed;
}

}  // namespace taut
