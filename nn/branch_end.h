// A layer at the end of a residual branch that reads the stream which the branch is added to.
#pragma once

#include "nn/layer.h"

namespace taut::nn {

class BranchEnd : public Layer {
 public:
  // What the branch adds to `stream` (b, t, dim), from what the layer that was there before would see, x (b, t, in).
  virtual Var forward_beside(const Var& x, const Var& stream) = 0;
};

}  // namespace taut::nn
