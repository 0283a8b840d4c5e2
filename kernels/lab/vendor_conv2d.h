// A vendor library's f32 convolution, to measure the own one against. Never used outside benchmarks.
#pragma once

#include <memory>

#include "kernels/conv2d.h"
#include "kernels/lab/timing.h"

namespace taut {

enum class ConvPass : uint8_t { kForward, kInput, kWeight };

// One pass of one convolution, ready to run on operands of the library's own in the layout it was made for: images
// (n, h, w, c), or what the library likes best; weights always as it likes them.
class VendorConv2d {
 public:
  // Null where this build has no such library. Throws Error(kUnavailable) where the library refuses.
  static std::unique_ptr<VendorConv2d> make(const ConvShape& shape, ConvPass pass, bool nhwc, int threads);
  virtual ~VendorConv2d() = default;
  virtual void run() = 0;
  virtual lab::MemoryRanges inputs() const = 0;  // what it reads
};

}  // namespace taut
