// Var: a tensor that records how it was made. Tensors do not record, Vars do: whether code builds a graph is visible in
// its types.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace taut {

class Var;

// One gradient per input (or per output); an undefined tensor stands for "none" (zero).
using Grads = std::vector<Tensor>;
// Which inputs want a gradient.
using Needs = std::vector<bool>;
// Returns one gradient per input of the node, undefined where `needs` does not ask. dy has one entry per output,
// undefined for an output nobody used. A returned gradient may alias dy: the engine adds in place only when it is the
// sole owner.
using Backward = std::function<Grads(const Grads& dy, const Needs& needs)>;

struct Node;

// What the graph knows of a var. It does not hold the value: a graph keeps alive only what backward functions saved.
struct VarInfo {
  Shape shape;
  DType dtype = DType::kF32;
  Device device;
  bool requires_grad = false;
  std::shared_ptr<Node> node;  // null for leaves
  int64_t output_index = 0;
  // Null, or gives the value again, to the byte, from what the node's backward keeps anyway. Valid until that ran: an
  // op that reads this value in its own backward may keep this instead of the value.
  std::function<Tensor()> recompute;
};

// A recorded operation. `seq` grows with every node: newest first is a valid order of execution.
struct Node {
  const char* op;
  uint64_t seq;
  std::vector<std::shared_ptr<VarInfo>> inputs;  // null where an optional input is absent
  Needs needs;                                   // which inputs wanted a gradient when the node was recorded
  int64_t outputs;
  Backward backward;
  ~Node();  // frees a long chain iteratively
};

class Var {
 public:
  Var() = default;
  explicit Var(Tensor value, bool requires_grad = false);  // a leaf

  bool defined() const { return info_ != nullptr; }
  const Tensor& value() const;
  const Shape& shape() const { return value().shape(); }
  DType dtype() const { return value().dtype(); }
  int64_t size(int64_t dim) const { return value().size(dim); }

  // True for leaves that want a gradient and for whatever was computed from one while recording was on.
  bool requires_grad() const;
  void set_requires_grad(bool on);  // leaves only, throws Error(kUsage) otherwise
  bool is_leaf() const;
  // Replaces the value of a leaf by a tensor of the same shape and dtype, on any device.
  void set_value(Tensor value);
  // Converts the value of a leaf that wants no gradient to another floating dtype.
  void store_as(DType dtype);

  // Identity, not equality of values: copies of a var share it.
  const std::shared_ptr<VarInfo>& info() const { return info_; }

 private:
  std::shared_ptr<VarInfo> info_;
  std::shared_ptr<Tensor> value_;
};

// ---- for writers of ops ---------------------------------------------------------------------------------------------

// Which of these inputs want a gradient now (all false inside NoGrad). Save for backward only what these ask for.
Needs needs_of(const std::vector<Var>& inputs);
inline bool any(const Needs& needs) {
  for (const bool n : needs)
    if (n) return true;
  return false;
}

// Records one node with the given outputs; without a needed input the outputs are plain leaves and `backward` is
// dropped.
std::vector<Var> record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs, Backward backward);
inline Var record(const char* op, Tensor output, std::vector<Var> inputs, Backward backward) {
  return record(op, std::vector<Tensor>{std::move(output)}, std::move(inputs), std::move(backward))[0];
}

// A tensor kept for backward. get() throws Error(kUsage) naming op and input if it was changed in place since.
class Saved {
 public:
  Saved() = default;
  Saved(const char* op, const char* input, Tensor tensor)
      : op_(op), input_(input), tensor_(std::move(tensor)), version_(tensor_.version()) {}
  const Tensor& get() const;
  bool defined() const { return tensor_.defined(); }

 private:
  const char* op_ = "";
  const char* input_ = "";
  Tensor tensor_;
  uint32_t version_ = 0;
};

// While one is alive on this thread, nothing is recorded.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace taut
