// Op cases of any size, for the benchmark: what they compute is checked by the cases of tests/ops/.
#pragma once

#include <string>

#include "tests/cases/choice.h"

namespace taut::cases {

// matmul "MxNxK" (a linear layer's product, (M, K) times (N, K) transposed), conv2d (as kernels/lab/conv2d_bench.h
// reads it), attention "BxTxHxD" (images, tokens, heads, head size), layer_norm and softmax "ROWSxCOLS". Products and
// convolutions alone run in tf32. Without an oracle. Throws Error(kUsage).
OpCase shape_case(const std::string& op, const std::string& shape, RunAs mode);

}  // namespace taut::cases
