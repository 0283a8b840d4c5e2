// Shifted domains: the images of a data set under a change of viewing conditions that fine-tuning never saw.
//
//   rotated:   turned about the centre by U(-30, 30) degrees, bilinear, black where nothing was
//   textured:  max(x, .2 + .2 sin(pi f (cos t X + sin t Y) + s)), f U(2, 6), t U(0, pi), s U(0, 2 pi), where X, Y in
//              (-1, 1) are pixel centres; the same texture in every channel
// Image i depends on (seed, i) alone; 8 bits again afterwards.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace taut {

// Counter-clockwise by `radians`.
Image rotate(const Image& image, float radians);
Image put_on_texture(const Image& image, float frequency, float direction, float phase);

// `kind` is "rotation" or "texture"; the result is named NAME-rotation. Throws Error(kUsage) for another kind.
DatasetPtr shifted(DatasetPtr base, const std::string& kind, uint64_t seed);

}  // namespace taut
