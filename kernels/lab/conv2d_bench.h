// The benchmark of convolutions: own kernel and peaks, then oneDNN's direct one where it is installed.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv2d.h"
#include "kernels/lab/pass_bench.h"

namespace taut {

// A shape is "8x56x56x64x64x3", N x H x W x C -> K channels and an R x R kernel ("..x3x1": 3 x 1), then options in any
// order: ":s2" stride, ":p0" padding (else half the kernel), ":d2" dilation, each also as ":s2x1" for rows and columns,
// ":g4" groups. Throws Error(kUsage) on one it cannot read.
ConvShape conv_shape_of(const std::string& shape);

// Rows for each shape and pass ("forward", "input", "weight"), one for each state of the caches, f32, on `threads`
// threads; about half a second each, and as long for each of the vendor's two layouts of images, of which its better
// counts. Throws Error(kUsage) on a shape or pass it cannot read.
std::vector<lab::PassRow> bench_conv2d(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                       const lab::Caches& caches, int threads);

}  // namespace taut
