// Which taps of a kernel a pixel sees in the input gradient of a convolution, for every backend.
#pragma once

#include "kernels/conv2d.h"

namespace taut {

// The taps of the input gradient for pixels whose coordinate is `phase` modulo the stride, in ascending order of the
// output position they read.
struct PhaseTaps {
  int64_t count = 0, last = 0, gap = 1;  // taps last, last - gap, ...
  int64_t offset = 0, step = 1;          // the t-th tap of the i-th pixel reads position i + offset + t step
  constexpr PhaseTaps(const ConvAxis& s, int64_t phase) {
    for (int64_t r = s.kernel - 1; r >= 0; --r) {
      const int64_t distance = phase + s.padding - r * s.dilation;
      if (distance % s.stride != 0) continue;
      if (count == 0) {
        last = r;
        offset = distance / s.stride;
      } else if (count == 1) {
        gap = last - r;
        step = gap * s.dilation / s.stride;
      }
      ++count;
    }
  }
  // All taps of a kernel as they are.
  static constexpr PhaseTaps all(int64_t kernel) { return PhaseTaps(kernel); }
  constexpr int64_t tap(int64_t t) const { return last - t * gap; }

 private:
  explicit constexpr PhaseTaps(int64_t kernel) : count(kernel), last(0), gap(-1) {}
};

}  // namespace taut
