// The shapes that a run calls single kernels with, for the kernel lab: what it is made of can be timed by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/watch.h"
#include "study/output.h"
#include "tensor/precision.h"

namespace taut::study {

// Of an op that is recorded for gradients, the op and shape of `taut kernel bench OP --shape SHAPE`: linear layers as
// matmul (of LoRA's the frozen product), conv2d, attention of all tokens, layer norms. Stride and padding of a
// convolution follow from its sizes (half an odd kernel, else the least that fits; no dilation). Nothing for other ops.
std::optional<std::pair<std::string, std::string>> lab_shape(const std::string& op, const std::vector<Var>& outputs,
                                                             const std::vector<Var>& inputs);

// Counts them on this thread as long as it lives, or until another Watch comes.
class UsedShapes {
 public:
  explicit UsedShapes(Precision precision);
  // In the order in which they came: `op`, `shape`, `dtype` (f32, tf32, bf16), `calls` (of the forward pass; a step
  // that a GPU replays from a graph was called when it was recorded).
  std::vector<Row> rows() const { return rows_; }

 private:
  std::vector<Row> rows_;
  Watch watch_;
};

}  // namespace taut::study
