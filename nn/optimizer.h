// AdamW over a list of parameters, the learning-rate schedules, and clipping by the global norm.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/graph.h"
#include "nn/module.h"

namespace taut::nn {

// Decoupled weight decay regularisation (Loshchilov and Hutter, 2019), PyTorch's semantics. Parameters without a
// gradient neither move nor decay.
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01;
};

class AdamW {
 public:
  // `decay[i]` says whether parameters[i] decays.
  AdamW(std::vector<NamedParameter> parameters, std::vector<bool> decay, AdamWOptions options);

  // One update with the given rate; gradients[i], times gradient_scale, belongs to parameters[i], undefined: none.
  void step(const std::vector<Tensor>& gradients, double lr, double gradient_scale = 1);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  int64_t steps() const { return steps_; }
  // First and second moments as {"m.PATH", "v.PATH"}; lazily created moments that do not exist yet are left out.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void load_state(const std::map<std::string, Tensor>& state, int64_t steps, const std::string& file);

 private:
  std::vector<NamedParameter> parameters_;
  std::vector<bool> decay_;
  AdamWOptions options_;
  std::vector<Tensor> m_, v_;
  Tensor constants_[2];  // of parameters that do not decay, and that do
  std::unique_ptr<RepeatedStep> repeated_;
  int64_t steps_ = 0;
};

// The sum of squares over all defined gradients, one element on their device, and its root.
Tensor sum_of_squares(const std::vector<Tensor>& gradients);
double global_norm(const std::vector<Tensor>& gradients);
// What torch's clip_grad_norm_ multiplies gradients of the global norm `norm` with: min(1, max_norm / (norm + 1e-6)).
double clip_factor(double norm, double max_norm);

enum class ScheduleKind { kConstant, kLinear, kCosine };
struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  int64_t warmup = 0;
  int64_t total = 1;
  // The factor of update k = 1, 2, ...: lambda(k - 1), lambda(s) = s / warmup below warmup, then from 1 down to 0 at
  // `total`, linearly or as half a cosine. Update 1 of a schedule with warm-up has factor 0.
  double factor(int64_t update) const;
};

}  // namespace taut::nn
