#include "autograd/var.h"

#include <atomic>
#include <new>
#include <utility>

#include "autograd/watch.h"

namespace taut {

namespace {
thread_local bool recording = true;
thread_local Watch::Look watching;
std::atomic<uint64_t> next_seq{0};
}  // namespace

Node::~Node() {
  // The last owner of a chain of a million nodes must not recurse a million times: nodes are unlinked first.
  std::vector<std::shared_ptr<Node>> pending;
  const auto unlink = [&](Node& node) {
    node.backward = nullptr;  // may own vars of its own
    for (std::shared_ptr<VarInfo>& info : node.inputs) {
      // An info held by others too (a live var) stays as it is.
      if (info && info.use_count() == 1 && info->node) try {
          pending.push_back(std::move(info->node));
        } catch (const std::bad_alloc&) {  // it goes with its info below, one level deeper on the stack
        }
      info.reset();
    }
    node.inputs.clear();
  };
  unlink(*this);
  while (!pending.empty()) {
    const std::shared_ptr<Node> n = std::move(pending.back());
    pending.pop_back();
    if (n.use_count() == 1) unlink(*n);
  }
}

Var::Var(Tensor value, bool requires_grad) : info_(std::make_shared<VarInfo>()) {
  TAUT_CHECK(value.defined(), "[var] expected a defined tensor");
  TAUT_CHECK(!requires_grad || is_floating(value.dtype()), "[var] only floating tensors have gradients, got {}",
             name(value.dtype()));
  info_->shape = value.shape();
  info_->dtype = value.dtype();
  info_->device = value.device();
  info_->requires_grad = requires_grad;
  value_ = std::make_shared<Tensor>(std::move(value));
}

const Tensor& Var::value() const {
  TAUT_CHECK(defined(), "[var] expected a defined var");
  return *value_;
}

bool Var::requires_grad() const { return defined() && info_->requires_grad; }
bool Var::is_leaf() const { return defined() && info_->node == nullptr; }

void Var::set_requires_grad(bool on) {
  TAUT_CHECK(is_leaf(), "[var] requires_grad can be set on leaves only");
  TAUT_CHECK(!on || is_floating(dtype()), "[var] only floating tensors have gradients, got {}", name(dtype()));
  info_->requires_grad = on;
}

void Var::set_value(Tensor value) {
  TAUT_CHECK(is_leaf(), "[var] the value can be replaced on leaves only");
  TAUT_CHECK(value.defined() && value.shape() == shape() && value.dtype() == dtype(), "[var] expected {} {}, got {}",
             name(dtype()), to_string(shape()), to_string(value, 0));
  info_->device = value.device();
  *value_ = std::move(value);
}

void Var::store_as(DType dtype) {
  TAUT_CHECK(is_leaf() && !requires_grad() && is_floating(dtype) && is_floating(this->dtype()),
             "[var] a leaf without a gradient changes between floating dtypes, got {} to {}", name(this->dtype()),
             name(dtype));
  *value_ = value_->to(dtype);
  info_->dtype = dtype;
}

Needs needs_of(const std::vector<Var>& inputs) {
  Needs needs(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) needs[i] = recording && inputs[i].requires_grad();
  return needs;
}

std::vector<Var> record(const char* op, std::vector<Tensor> outputs, std::vector<Var> inputs, Backward backward) {
  std::vector<Var> vars;
  vars.reserve(outputs.size());
  for (Tensor& t : outputs) vars.emplace_back(std::move(t));
  Needs needs = needs_of(inputs);
  if (!any(needs)) return vars;
  if (watching) watching(op, vars, inputs);
  auto node = std::make_shared<Node>();
  node->op = op;
  node->seq = next_seq.fetch_add(1, std::memory_order_relaxed);
  for (const Var& v : inputs) node->inputs.push_back(v.info());
  node->needs = std::move(needs);
  node->outputs = static_cast<int64_t>(vars.size());
  node->backward = std::move(backward);
  for (size_t i = 0; i < vars.size(); ++i) {
    vars[i].info()->requires_grad = true;
    vars[i].info()->node = node;
    vars[i].info()->output_index = static_cast<int64_t>(i);
  }
  return vars;
}

const Tensor& Saved::get() const {
  TAUT_CHECK(
      tensor_.version() == version_,
      "[{}] backward needs input '{}' as it was in the forward pass, but it was changed in place since (version {} "
      "then, {} now); hint: clone it before changing it",
      op_, input_, version_, tensor_.version());
  return tensor_;
}

Watch::Watch(Look look) { watching = std::move(look); }
Watch::~Watch() { watching = nullptr; }

NoGrad::NoGrad() : before_(std::exchange(recording, false)) {}
NoGrad::~NoGrad() { recording = before_; }

}  // namespace taut
