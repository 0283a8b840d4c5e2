#include "nn/module.h"

#include <fmt/format.h>

#include "tensor/nearest.h"

namespace taut::nn {
namespace {

std::string join(const std::string& prefix, const std::string& name) {
  if (prefix.empty() || name.empty()) return prefix + name;
  return prefix + "." + name;
}

}  // namespace

void Module::visit(const std::string& prefix, const Visitor& fn) const {
  for (const Parameter& p : parameters_) fn(join(prefix, p.name), *p.var, p.is_buffer);
  for (const Child& c : children_) c.module->visit(join(prefix, c.name), fn);
}

std::vector<NamedParameter> Module::list(bool buffers) const {
  std::vector<NamedParameter> all;
  visit("", [&](const std::string& path, Var& var, bool is_buffer) {
    if (is_buffer != buffers) return;
    // A parameter shared by several modules (Compacter's rule) is listed where it is met first.
    for (const NamedParameter& p : all)
      if (p.var.info() == var.info()) return;
    all.push_back({path, var});
  });
  return all;
}

std::vector<NamedParameter> Module::parameters() const { return list(false); }
std::vector<NamedBuffer> Module::buffers() const { return list(true); }

Var Module::parameter(const std::string& path) const {
  Var found;
  std::vector<std::string> paths;
  visit("", [&](const std::string& p, Var& var, bool) {
    if (p == path) found = var;
    paths.push_back(p);
  });
  TAUT_CHECK(found.defined(), "[model] expected a parameter, got '{}'; hint: {}", path, did_you_mean(path, paths));
  return found;
}

int64_t Module::parameter_count() const {
  int64_t n = 0;
  for (const NamedParameter& p : parameters()) n += p.var.value().numel();
  return n;
}

int64_t Module::trainable_parameter_count() const {
  int64_t n = 0;
  for (const NamedParameter& p : parameters())
    if (p.var.requires_grad()) n += p.var.value().numel();
  return n;
}

void Module::to(Device device) {
  visit("", [&](const std::string&, Var& var, bool) { var.set_value(var.value().to(device)); });
}

Device Module::device() const {
  Device device;
  visit("", [&](const std::string&, Var& var, bool) { device = var.value().device(); });
  return device;
}

void Module::set_requires_grad(bool on) {
  visit("", [on](const std::string&, Var& var, bool is_buffer) {
    if (!is_buffer) var.set_requires_grad(on);
  });
}

void Module::set_training(bool on) {
  training_ = on;
  for (const Child& c : children_) c.module->set_training(on);
}

void Module::pass_precision(Precision precision) {
  precision_ = precision;
  for (const Child& c : children_) c.module->pass_precision(precision);
}

std::string Module::places() const {
  std::string key = training_ ? "training " : "evaluation ";
  key += std::to_string(static_cast<int>(precision_));
  visit("", [&](const std::string&, Var& var, bool) { append_place(key, var.value()); });
  return key;
}

std::string Module::describe() const {
  std::string text;
  for (const NamedParameter& p : parameters())
    text += fmt::format("{} {} {}\n", p.path, to_string(p.var.shape()), p.var.requires_grad() ? "trainable" : "frozen");
  return text;
}

Var& Module::add_parameter(std::string name, Tensor value) {
  return share_parameter(std::move(name), Var(std::move(value)));
}

Var& Module::share_parameter(std::string name, Var var) {
  parameters_.push_back({std::move(name), std::make_unique<Var>(std::move(var)), false});
  return *parameters_.back().var;
}

Var& Module::add_buffer(std::string name, Tensor value) {
  parameters_.push_back({std::move(name), std::make_unique<Var>(std::move(value)), true});
  return *parameters_.back().var;
}

void Module::set_child(std::string name, std::shared_ptr<Module> child) {
  child->set_training(training_);
  for (Child& c : children_) {
    if (c.name == name && !name.empty()) {
      c.module = std::move(child);
      return;
    }
  }
  children_.push_back({std::move(name), std::move(child)});
}

void Module::replace_child(const Module* old, std::shared_ptr<Module> child) {
  child->set_training(training_);
  for (Child& c : children_) {
    if (c.module.get() != old) continue;
    c.module = std::move(child);
    return;
  }
  fail(Exit::kUsage, "[model] expected a child to replace, got another module");
}

FrozenParameters::FrozenParameters(const Module& module) {
  for (NamedParameter& p : module.parameters()) {
    if (!p.var.requires_grad()) continue;
    p.var.set_requires_grad(false);
    thawed_.push_back(p.var);
  }
}

FrozenParameters::~FrozenParameters() {
  for (Var& v : thawed_) v.set_requires_grad(true);
}

}  // namespace taut::nn
