// Convolutions by cuDNN's backend API, for the modes that may (bf16, tf32): NHWC images, weights (c_out, kh, kw,
// c_in / groups), sums in f32, a plan a shape, made once. Engines that add in no fixed order are passed over.
#pragma once

#include <cstdint>

#include "kernels/conv2d.h"
#include "kernels/cuda/runtime.h"
#include "kernels/runtime.h"

namespace taut {

enum class DnnElement : uint8_t { kBF16, kTF32 };
enum class DnnPass : uint8_t { kForward, kBackwardInput, kBackwardWeight };

TAUT_GPU_BACKENDS(
    // x, w and y of conv2d or their gradients: the pass writes one of them (y, x or w) and reads the other two. False,
    // and nothing happened, where the library is not there or not in use, or has no engine for this convolution.
    bool dnn_conv2d(Stream stream, DnnElement element, DnnPass pass, const void* x, const void* w, const void* y,
                    const ConvShape& shape);

    // Whether convolutions go to the library: on `cuda` from the beginning unless TAUT_CUDNN=0, on `simt`, whose
    // library is a twin, when a test says so.
    void use_dnn(bool on); bool dnn_in_use(); int64_t dnn_plans();)  // made by this process

}  // namespace taut
