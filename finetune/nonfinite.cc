#include "finetune/nonfinite.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "autograd/watch.h"
#include "kernels/reduce.h"

namespace taut::finetune {
namespace {

std::vector<nn::NamedParameter> parameters_and_statistics(const nn::Module& model) {
  std::vector<nn::NamedParameter> all = model.parameters();
  for (nn::NamedBuffer& b : model.buffers()) all.push_back(std::move(b));
  return all;
}

std::string described(const std::string& name, const Tensor& tensor) {
  return fmt::format("{} {} has {} non-finite elements of {}", name, to_string(tensor.shape()),
                     count_nonfinite_elements(tensor), tensor.numel());
}

// Every parameter wants a gradient while this lives: an op that records nothing does not show itself.
class AllTrainable {
 public:
  explicit AllTrainable(const nn::Module& model) {
    for (nn::NamedParameter& p : model.parameters()) {
      if (p.var.requires_grad()) continue;
      p.var.set_requires_grad(true);
      frozen_.push_back(std::move(p.var));
    }
  }
  ~AllTrainable() {
    for (Var& v : frozen_) v.set_requires_grad(false);
  }
  AllTrainable(const AllTrainable&) = delete;
  AllTrainable& operator=(const AllTrainable&) = delete;

 private:
  std::vector<Var> frozen_;
};

}  // namespace

int64_t count_nonfinite_elements(const Tensor& tensor) {
  if (!tensor.defined() || !is_floating(tensor.dtype())) return 0;
  int64_t found = 0;
  const Tensor values = tensor.contiguous();
  on_float(values.dtype(), "non-finite", [&]<class T>() {
    ON_DEVICE(values.device(),
              count_nonfinite<T>(current_stream(values.device()), values.data<T>(), values.numel(), &found));
  });
  return found;
}

std::string first_nonfinite_parameter(const nn::Module& model) {
  for (const nn::NamedParameter& p : parameters_and_statistics(model))
    if (count_nonfinite_elements(p.var.value()) > 0) return described("'" + p.path + "'", p.var.value());
  return {};
}

std::string first_nonfinite(const nn::Module& model, const std::function<Var()>& forward) {
  if (std::string bad = first_nonfinite_parameter(model); !bad.empty()) return bad;
  std::unordered_map<const VarInfo*, std::string> paths;
  for (const nn::NamedParameter& p : parameters_and_statistics(model)) paths[p.var.info().get()] = p.path;
  std::string first, latest = "no parameter";  // `latest`: those of the newest op that has any
  int64_t number = 0;
  const AllTrainable recorded(model);
  const Watch watch([&](const char* op, const std::vector<Var>& outputs, const std::vector<Var>& inputs) {
    ++number;
    if (!first.empty()) return;
    std::string own;
    for (const Var& v : inputs) {
      if (!v.defined()) continue;
      const auto it = paths.find(v.info().get());
      if (it != paths.end())
        own += (own.empty() ? "'" : ", '") + it->second + "'";
      else if (count_nonfinite_elements(v.value()) > 0)  // no op made it, or that one would have been seen
        first = described("the model's input", v.value());
    }
    if (!own.empty()) latest = own;
    for (const Var& v : outputs)
      if (first.empty() && count_nonfinite_elements(v.value()) > 0)
        first = described(fmt::format("the output of op {} of the forward pass, {} {} {},", number, op,
                                      own.empty() ? "after" : "with", latest),
                          v.value());
  });
  forward();
  return first;
}

}  // namespace taut::finetune
