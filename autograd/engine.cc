#include "autograd/engine.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "kernels/pointwise.h"
#include "kernels/reduce.h"

namespace taut {
namespace {

// Sums a gradient over the dimensions along which the input was broadcast.
Tensor unbroadcast(const char* op, Tensor gradient, const Shape& shape) {
  if (gradient.shape() == shape) return gradient;
  const Shape& from = gradient.shape();
  TAUT_CHECK(broadcast_shapes(op, from, shape) == from, "[{}] backward returned a gradient of shape {} for an input {}",
             op, to_string(from), to_string(shape));
  TAUT_CHECK(from.size() <= SumShape::kMaxDims, "[{}] expected at most {} dimensions, got {}", op,
             static_cast<int>(SumShape::kMaxDims), to_string(from));
  const Tensor dense = gradient.contiguous();
  SumShape sum;
  sum.dims = static_cast<int>(from.size());
  const size_t lead = from.size() - shape.size();
  for (size_t i = 0; i < from.size(); ++i) {
    sum.size[i] = from[i];
    sum.summed[i] = i < lead || shape[i - lead] != from[i];
  }
  Tensor g = Tensor::empty(shape, dense.dtype(), dense.device());
  on_stored(g.dtype(), op, [&]<class T>() {
    ON_DEVICE(g.device(), sum_to_shape<T>(current_stream(g.device()), dense.data<T>(), g.data<T>(), sum));
  });
  return g;
}

void accumulate(const char* op, Tensor& sum, Tensor gradient) {
  if (!sum.defined()) {
    sum = std::move(gradient);
    return;
  }
  TAUT_CHECK(sum.dtype() == gradient.dtype(), "[{}] gradients of one input have dtypes {} and {}", op,
             name(sum.dtype()), name(gradient.dtype()));
  // In place only when nobody else can see the sum: a returned gradient may alias an upstream one.
  if (!sum.is_sole_owner() || !sum.is_contiguous()) sum = sum.clone();
  gradient = gradient.contiguous();
  on_stored(sum.dtype(), op, [&]<class T>() {
    ON_DEVICE(sum.device(),
              axpy<T>(current_stream(sum.device()), Real<T>(1), gradient.data<T>(), sum.data<T>(), sum.numel()));
  });
}

using InfoPtr = std::shared_ptr<VarInfo>;

// The nodes on a path from one of `inputs` to one of `outputs`.
std::unordered_set<const Node*> nodes_on_paths(const std::vector<Var>& outputs, const std::vector<Var>& inputs) {
  std::unordered_set<const VarInfo*> wanted;
  for (const Var& v : inputs) wanted.insert(v.info().get());
  std::vector<const Node*> reachable, pending;
  std::unordered_set<const Node*> seen;
  const auto push = [&](const InfoPtr& v) {
    const Node* n = v ? v->node.get() : nullptr;
    if (n != nullptr && seen.insert(n).second) pending.push_back(n);
  };
  for (const Var& v : outputs) push(v.info());
  while (!pending.empty()) {
    const Node* n = pending.back();
    pending.pop_back();
    reachable.push_back(n);
    for (const InfoPtr& v : n->inputs) push(v);
  }
  // Inputs are older than the node they enter, so one pass, oldest first, settles every node.
  std::sort(reachable.begin(), reachable.end(), [](const Node* a, const Node* b) { return a->seq < b->seq; });
  std::unordered_set<const Node*> on_path;
  for (const Node* n : reachable) {
    const bool reaches = std::any_of(n->inputs.begin(), n->inputs.end(), [&](const InfoPtr& v) {
      return v && (wanted.contains(v.get()) || on_path.contains(v->node.get()));
    });
    if (reaches) on_path.insert(n);
  }
  return on_path;
}

struct Pending {
  std::shared_ptr<Node> node;
  Grads dy;
};

}  // namespace

Grads gradients(const std::vector<Var>& outputs, const Grads& dy, const std::vector<Var>& inputs, bool free_graph) {
  TAUT_CHECK(outputs.size() == dy.size(), "[gradients] expected a dy for each of {} outputs, got {}", outputs.size(),
             dy.size());
  const NoGrad no_grad;
  Grads result(inputs.size());
  std::unordered_map<const VarInfo*, std::vector<size_t>> wanted;  // var -> positions in `inputs`
  for (size_t i = 0; i < inputs.size(); ++i) {
    TAUT_CHECK(inputs[i].requires_grad(), "[gradients] input {} does not require a gradient", i);
    wanted[inputs[i].info().get()].push_back(i);
  }
  const std::unordered_set<const Node*> on_path = nodes_on_paths(outputs, inputs);

  std::unordered_map<const Node*, Pending> pending;
  const auto older = [](const Node* a, const Node* b) { return a->seq < b->seq; };
  std::priority_queue<const Node*, std::vector<const Node*>, decltype(older)> queue(older);

  // Hands a gradient of `v` to its requesters and to the node that made it.
  const auto deliver = [&](const char* op, const VarInfo& v, Tensor gradient) {
    if (const auto it = wanted.find(&v); it != wanted.end())
      for (const size_t i : it->second) accumulate(op, result[i], gradient);
    if (!v.node || !on_path.contains(v.node.get())) return;
    auto [it, is_new] = pending.try_emplace(v.node.get());
    if (is_new) {
      it->second = {v.node, Grads(static_cast<size_t>(v.node->outputs))};
      queue.push(v.node.get());
    }
    accumulate(op, it->second.dy[static_cast<size_t>(v.output_index)], std::move(gradient));
  };

  for (size_t i = 0; i < outputs.size(); ++i) {
    const Var& out = outputs[i];
    TAUT_CHECK(out.requires_grad(), "[gradients] output {} was not recorded; hint: no input of it requires a gradient",
               i);
    if (dy[i].defined()) {
      TAUT_CHECK(dy[i].shape() == out.shape() && dy[i].dtype() == out.dtype(),
                 "[gradients] expected dy {} {}, got {} {}", name(out.dtype()), to_string(out.shape()),
                 name(dy[i].dtype()), to_string(dy[i].shape()));
      deliver("gradients", *out.info(), dy[i].contiguous());
    } else {
      TAUT_CHECK(out.value().numel() == 1, "[gradients] a dy is needed for an output of shape {}",
                 to_string(out.shape()));
      deliver("gradients", *out.info(), Tensor::full(out.shape(), 1, out.dtype(), out.value().device()));
    }
  }

  while (!queue.empty()) {
    const auto it = pending.find(queue.top());
    queue.pop();
    const Pending now = std::move(it->second);
    pending.erase(it);
    Node& node = *now.node;
    TAUT_CHECK(node.backward != nullptr,
               "[{}] the graph was freed by an earlier backward pass; hint: run the forward again", node.op);
    Needs needs(node.inputs.size());
    for (size_t i = 0; i < needs.size(); ++i) {
      const InfoPtr& v = node.inputs[i];
      needs[i] = v && node.needs[i] && (wanted.contains(v.get()) || on_path.contains(v->node.get()));
    }
    Grads dx = node.backward(now.dy, needs);
    if (free_graph) node.backward = nullptr;
    TAUT_CHECK(dx.size() == node.inputs.size(), "[{}] backward returned {} gradients for {} inputs", node.op, dx.size(),
               node.inputs.size());
    for (size_t i = 0; i < dx.size(); ++i) {
      if (!needs[i] || !dx[i].defined()) continue;
      const VarInfo& v = *node.inputs[i];
      TAUT_CHECK(dx[i].dtype() == v.dtype && dx[i].device() == v.device,
                 "[{}] backward returned a {} gradient on {} for a {} input on {}", node.op, name(dx[i].dtype()),
                 name(dx[i].device().kind), name(v.dtype), name(v.device.kind));
      deliver(node.op, v, unbroadcast(node.op, std::move(dx[i]), v.shape));
    }
  }
  return result;
}

}  // namespace taut
