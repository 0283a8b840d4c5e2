// Modules: named trees of parameters. A parameter's path is the dotted chain of names from the root; a child named ""
// is transparent, so that a wrapper around a layer keeps the layer's paths.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/precision.h"

namespace taut::nn {

struct NamedParameter {
  std::string path;  // "blocks.0.attn.qkv.weight"
  Var var;           // shared with the module: set_value and set_requires_grad act on the module
};
// A tensor that belongs to a module's state and is no parameter: running statistics. It is saved and loaded with the
// parameters and never trained or counted.
using NamedBuffer = NamedParameter;

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // All parameters of the tree in order of registration, depth first, each path once.
  std::vector<NamedParameter> parameters() const;
  // All buffers, likewise.
  std::vector<NamedBuffer> buffers() const;
  // The parameter or buffer at a path; throws Error(kUsage) naming it and the nearest path there is.
  Var parameter(const std::string& path) const;
  int64_t parameter_count() const;            // elements of all parameters
  int64_t trainable_parameter_count() const;  // elements of those that require a gradient

  void set_requires_grad(bool on);  // all parameters
  void to(Device device);           // moves all parameters and buffers
  Device device() const;            // where they are; the CPU for a module without any

  // Training mode, passed down the tree; fresh modules are in evaluation mode.
  void set_training(bool on);
  bool training() const { return training_; }

  // How much layers round (Model::set_precision), passed down the tree; fresh modules round nothing.
  void pass_precision(Precision precision);
  Precision precision() const { return precision_; }

  // What a recorded step (kernels/graph.h) depends on of a module: where parameters and buffers lie, their shapes and
  // dtypes, and the modes.
  std::string places() const;

  // One line a parameter: path, shape, trainable or frozen.
  std::string describe() const;

 protected:
  Var& add_parameter(std::string name, Tensor value);
  Var& add_buffer(std::string name, Tensor value);
  // A parameter that another module holds, too; it is listed and counted once.
  Var& share_parameter(std::string name, Var var);
  template <class M>
  std::shared_ptr<M> add_child(std::string name, std::shared_ptr<M> child) {
    set_child(std::move(name), child);
    return child;
  }
  // Adds, or replaces the child of that name; children called "" are only ever added.
  void set_child(std::string name, std::shared_ptr<Module> child);
  // Puts `child` where `old` is.
  void replace_child(const Module* old, std::shared_ptr<Module> child);

 private:
  struct Parameter {
    std::string name;
    std::unique_ptr<Var> var;  // its address stays valid while parameters are added
    bool is_buffer;
  };
  struct Child {
    std::string name;
    std::shared_ptr<Module> module;
  };
  using Visitor = std::function<void(const std::string&, Var&, bool is_buffer)>;
  void visit(const std::string& prefix, const Visitor& fn) const;
  std::vector<NamedParameter> list(bool buffers) const;

  std::vector<Parameter> parameters_;
  std::vector<Child> children_;
  Precision precision_ = Precision::kF32;
  bool training_ = false;
};

// All parameters frozen while this lives, then as before: what runs under it computes image gradients only.
class FrozenParameters {
 public:
  explicit FrozenParameters(const Module& module);
  ~FrozenParameters();
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

 private:
  std::vector<Var> thawed_;
};

}  // namespace taut::nn
