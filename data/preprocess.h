// From an image of any size to the fixed size a model wants; everything stays 8-bit.
//
//   stretch:    resize to size x size, aspect not kept (the study's ViT image processor, bilinear)
//   short_side: the short side to `short_side`, the long one to trunc(long * short_side / short), then the centre
//               size x size (timm and torchvision; DeiT: bicubic 256, crop 224)
//   centre:     the centre size x size as it is, nothing resized (the demo: 24 of 28)
//   none:       unchanged; the data set's images must already have one size
// Crops start at round-half-even((side - size) / 2), as Python rounds. Normalisation belongs to the model.
#pragma once

#include <cstdint>
#include <string>

#include "data/image.h"
#include "data/resize.h"

namespace taut {

struct Preprocess {
  enum class Kind : uint8_t { kNone, kStretch, kShortSide, kCentre };
  Kind kind = Kind::kNone;
  Filter filter = Filter::kBilinear;
  int64_t size = 0;        // output side; 0 with kNone
  int64_t short_side = 0;  // with kShortSide, at least `size`
  int64_t channels = 0;    // 1 or 3: convert to; 0: as the image comes

  bool operator==(const Preprocess&) const = default;
};

Preprocess stretch_to(int64_t size, Filter filter = Filter::kBilinear);
Preprocess short_side_then_crop(int64_t short_side, int64_t size, Filter filter = Filter::kBicubic);
Preprocess centre_crop_to(int64_t size);

// Applies it. Throws Error(kUsage) for a crop larger than the image or impossible settings.
Image preprocess(const Image& image, const Preprocess& how);

// The central height x width.
Image centre_crop(const Image& image, int64_t height, int64_t width);

// 1 -> 3 by repetition; 3 -> 1 by Pillow's convert("L"): (19595 r + 38470 g + 7471 b + 2^15) / 2^16.
Image with_channels(const Image& image, int64_t channels);

// "stretch 224 bilinear, 3 channels": what goes into a resolved configuration.
std::string describe(const Preprocess& how);

// out[c][y][x] = pixel / 255 in f32, rounded once: (channels, height, width) from (height, width, channels).
void to_float(const uint8_t* pixels, int64_t height, int64_t width, int64_t channels, float* out);

}  // namespace taut
