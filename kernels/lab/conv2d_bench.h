// The benchmark of convolutions: own kernel and FMA peak by turns, then oneDNN's direct one where it is installed.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv2d.h"

namespace taut {

struct Conv2dBenchRow {
  std::string op = "conv2d";
  std::string shape;  // as asked for
  std::string pass;   // "forward", "input", "weight"
  int threads = 1;
  // 2 x multiply-adds of the plain sum, whatever the algorithm, over the time of the fastest runs.
  double gflops = 0, peak_gflops = 0, fraction_of_peak = 0;
  std::string vendor;        // empty where there is none
  double vendor_gflops = 0;  // in its better layout of images
};

// A shape is "8x56x56x64x64x3", N x H x W x C -> K channels and an R x R kernel ("..x3x1": 3 x 1), then options in any
// order: ":s2" stride, ":p0" padding (else half the kernel), ":d2" dilation, each also as ":s2x1" for rows and columns,
// ":g4" groups. Throws Error(kUsage) on one it cannot read.
ConvShape conv_shape_of(const std::string& shape);

// One row for each shape and pass, f32, on `threads` threads; about a second each. Timed by bench_seconds(threads).
// Throws Error(kUsage) on a shape or pass it cannot read.
std::vector<Conv2dBenchRow> bench_conv2d(const std::vector<std::string>& shapes, const std::vector<std::string>& passes,
                                         int threads);

}  // namespace taut
