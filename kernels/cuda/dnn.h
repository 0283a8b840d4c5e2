// Convolutions by cuDNN's backend API, for the modes that may (bf16, tf32), and attention to hold the own kernel
// against: NHWC images, weights (c_out, kh, kw, c_in / groups), sums in f32, a plan a shape, made once. Engines that
// add in no fixed order are passed over.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/conv2d.h"
#include "kernels/cuda/runtime.h"
#include "kernels/runtime.h"

namespace taut {

// kF32, without tensor cores, is a row to beat in the kernel lab: production asks for the other two.
enum class DnnElement : uint8_t { kBF16, kTF32, kF32 };
enum class DnnPass : uint8_t { kForward, kBackwardInput, kBackwardWeight };

TAUT_GPU_BACKENDS(
    // x, w and y of conv2d or their gradients: the pass writes one of them (y, x or w) and reads the other two. False,
    // and nothing happened, where the library is not there or not in use, or has no engine for this convolution.
    bool dnn_conv2d(Stream stream, DnnElement element, DnnPass pass, const void* x, const void* w, const void* y,
                    const ConvShape& shape);

    // out (b, t, heads, d) of bf16 qkv (b, t, 3, heads, d), as attention_forward of every query without stats, by the
    // library's fused kernel. Production never asks: a row to beat. False, and nothing happened, as above.
    bool dnn_attention(Stream stream, const void* qkv, void* out, const AttentionShape& shape);

    // Whether convolutions go to the library: on `cuda` from the beginning unless TAUT_CUDNN=0, on `simt`, whose
    // library is a twin, when a test says so.
    void use_dnn(bool on); bool dnn_in_use();
    // Plans made by this process, and their runs.
    int64_t dnn_plans(); int64_t dnn_calls();)

}  // namespace taut
