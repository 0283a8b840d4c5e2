// Images' pixels in the order of their patches: what patchify and the step of an attack on patches share.
#pragma once

#include "kernels/layout.h"
#include "kernels/loops.h"

namespace taut::TAUT_CPU {

// Calls body(channel, pixel, column) for every run of p pixels; it starts at element `pixel` of the images and at
// element `column` of the patches.
template <class Body>
void for_pixel_runs(const PatchShape& s, Body&& body) {
  const int64_t across = s.w / s.p, down = s.h / s.p, p = s.p, row_length = s.c * p * p;
  parallel_for(s.b * down, rows_grain(across * row_length), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / down, patch_row = task % down;
      for (int64_t channel = 0; channel < s.c; ++channel) {
        for (int64_t y = 0; y < p; ++y) {
          const int64_t pixel = ((image * s.c + channel) * s.h + patch_row * p + y) * s.w;
          const int64_t column = task * across * row_length + (channel * p + y) * p;
          for (int64_t i = 0; i < across; ++i) body(channel, pixel + i * p, column + i * row_length);
        }
      }
    }
  });
}

}  // namespace taut::TAUT_CPU
