// The backward pass: executes recorded nodes newest first and accumulates what they return.
#pragma once

#include <vector>

#include "autograd/var.h"

namespace taut {

// Gradients of sum_i <outputs[i], dy[i]> with respect to `inputs` (leaves or intermediate vars), undefined where an
// input does not influence an output. Only nodes on a path from an input to an output run, and only the gradients on
// such a path are asked of them. The graph is kept while somebody holds an output, unless `free_graph`: then each
// node's saved tensors are released as soon as it ran, and a second pass over it is an Error(kUsage). dy[i] has
// outputs[i]'s shape and dtype; an undefined dy stands for ones and is allowed for one-element outputs only.
Grads gradients(const std::vector<Var>& outputs, const Grads& dy, const std::vector<Var>& inputs,
                bool free_graph = false);

// d loss / d inputs for a one-element loss; frees the graph.
inline Grads gradients(const Var& loss, const std::vector<Var>& inputs) {
  return gradients({loss}, {Tensor()}, inputs, true);
}

}  // namespace taut
