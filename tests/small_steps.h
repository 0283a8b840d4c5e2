// A step of a small net in each precision, and how near to f32's its loss and gradients must lie.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/strategy.h"
#include "tests/cases/tolerance.h"
#include "tests/small_vit.h"

namespace taut::testing {

inline constexpr Device kSimt{DeviceKind::kSimt, 0};

// The small ViT under a strategy.
inline std::shared_ptr<nn::Vit> prepared(const std::string& strategy, Precision precision = Precision::kF32,
                                         Device device = {}) {
  const auto vit = random_vit(small_config(), 1);
  finetune::StrategyOptions options;
  options.rank = 3;
  options.alpha = 6;
  options.reduction = 8;
  finetune::strategy(strategy).apply(*vit, options, 3);
  vit->set_precision(precision);
  vit->to(device);
  return vit;
}

// Loss, gradients of what trains, and of the images.
struct Measured {
  std::vector<double> loss;
  std::vector<std::string> names;
  std::vector<std::vector<double>> gradients;
};

inline Measured measure(nn::Model& model, Device device) {
  const Var images(random_images(model.config(), 3, 5).to(device), true);
  const Tensor labels = random_labels(3, model.config().classes, 6).to(device);
  std::vector<Var> wanted = {images};
  Measured m;
  m.names.emplace_back("images");
  for (const nn::NamedParameter& p : model.parameters()) {
    if (!p.var.requires_grad()) continue;
    CHECK(p.var.dtype() == DType::kF32);  // the master copy
    wanted.push_back(p.var);
    m.names.push_back(p.path);
  }
  const Var loss = ops::cross_entropy(model.forward(images), labels);
  m.loss = loss.value().to_doubles();
  for (const Tensor& g : gradients(loss, wanted)) {
    CHECK(g.dtype() == DType::kF32);
    m.gradients.push_back(g.to_doubles());
  }
  return m;
}

// Of a whole step: a gradient of few numbers, through many layers, meets few of the roundings that it might, on the CPU
// and elsewhere, so that twice the CPU's error is sometimes too little.
inline double step_limit(Precision precision, const std::vector<double>& cpu, const std::vector<double>& f32) {
  constexpr double kOfASample = 1.5;
  return kOfASample * (precision == Precision::kBF16 ? cases::bf16_budget(cpu, f32) : cases::tf32_budget(cpu, f32));
}

// Loss and gradients of `got`, in `precision`, lie as near to f32's as the CPU's in that precision.
inline void check_near(Precision precision, const std::string& what, const Measured& f32, const Measured& cpu,
                       const Measured& got) {
  REQUIRE(f32.names == got.names);
  CHECK(cpu.loss != f32.loss);  // the mode does something
  CHECK(cases::relative_error(got.loss, f32.loss) <= step_limit(precision, cpu.loss, f32.loss));
  for (size_t i = 0; i < f32.names.size(); ++i) {
    const double error = cases::relative_error(got.gradients[i], f32.gradients[i]);
    const double most = step_limit(precision, cpu.gradients[i], f32.gradients[i]);
    INFO(taut::name(precision), " ", what, " ", f32.names[i], ": ", error, " of ", most);
    CHECK(error <= most);
  }
}

}  // namespace taut::testing
