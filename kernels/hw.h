// A number for the rows and one for the columns of an image: kernel sizes, strides, paddings, dilations.
#pragma once

#include <cstdint>

namespace taut {

// One number stands for both: HW stride = 2.
struct HW {
  int64_t h, w;
  constexpr HW(int64_t both) : h(both), w(both) {}
  constexpr HW(int64_t h_, int64_t w_) : h(h_), w(w_) {}
  constexpr bool operator==(const HW&) const = default;
  constexpr int64_t least() const { return h < w ? h : w; }
};

}  // namespace taut
