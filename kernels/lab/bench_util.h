// What the benchmarks of kernels share: operands, and how long to measure.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "kernels/arena.h"

namespace taut::lab {

struct Release {
  void operator()(float* p) const { arena_release(p); }
};
using Buffer = std::unique_ptr<float[], Release>;

// Values of about one, different from element to element, so that nothing is denormal and no sum overflows.
inline Buffer filled(int64_t count) {
  Buffer buffer(static_cast<float*>(arena_allocate(static_cast<size_t>(count) * sizeof(float))));
  for (int64_t i = 0; i < count; ++i) buffer[static_cast<size_t>(i)] = static_cast<float>(i % 251) / 125.0f - 1.0f;
  return buffer;
}

// At least 8 turns, and 0.4 seconds of them.
class Turns {
 public:
  bool next() { return count_++ < 8 || std::chrono::steady_clock::now() - start_ < std::chrono::milliseconds(400); }

 private:
  int count_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace taut::lab
