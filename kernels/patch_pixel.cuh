// Where an element of images' patches lies in the images: what patchify and the step of an attack on patches share.
#pragma once

#include "kernels/device.cuh"
#include "kernels/layout.h"

namespace taut::TAUT_GPU {

// Element `at` of the patches (b, n, c p p): its place in the images, and its channel.
struct Pixel {
  int64_t at, channel;
  __device__ Pixel(const PatchShape& s, int64_t element) {
    const int64_t across = s.w / s.p, down = s.h / s.p;
    const int64_t x = element % s.p, y = element / s.p % s.p;
    channel = element / (s.p * s.p) % s.c;
    const int64_t patch = element / (s.p * s.p * s.c);
    const int64_t image = patch / (across * down), row = patch / across % down, column = patch % across;
    at = ((image * s.c + channel) * s.h + row * s.p + y) * s.w + column * s.p + x;
  }
};

}  // namespace taut::TAUT_GPU
