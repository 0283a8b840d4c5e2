#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optim.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"
#include "tensor/portable_math.h"

namespace taut::nn {

AdamW::AdamW(std::vector<NamedParameter> parameters, std::vector<bool> decay, AdamWOptions options)
    : parameters_(std::move(parameters)),
      decay_(std::move(decay)),
      options_(options),
      m_(parameters_.size()),
      v_(parameters_.size()) {
  TAUT_CHECK(decay_.size() == parameters_.size(), "[adamw] expected a decay flag for each of {} parameters, got {}",
             parameters_.size(), decay_.size());
}

void AdamW::step(const std::vector<Tensor>& gradients, double lr) {
  TAUT_CHECK(gradients.size() == parameters_.size(), "[adamw] expected {} gradients, got {}", parameters_.size(),
             gradients.size());
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    Tensor p = parameters_[i].var.value();
    const Tensor g = gradients[i].contiguous();
    if (!m_[i].defined()) {
      m_[i] = Tensor::zeros(p.shape(), p.dtype(), p.device());
      v_[i] = Tensor::zeros(p.shape(), p.dtype(), p.device());
    }
    const AdamWStep step{.lr = lr,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .weight_decay = decay_[i] ? options_.weight_decay : 0,
                         .t = steps_};
    on_float(p.dtype(), "adamw", [&]<class T>() {
      ON_DEVICE(p.device(), adamw_step<T>(current_stream(p.device()), p.data<T>(), g.data<T>(), m_[i].data<T>(),
                                          v_[i].data<T>(), p.numel(), step));
    });
    p.bump_version();
  }
}

std::vector<std::pair<std::string, Tensor>> AdamW::state() const {
  std::vector<std::pair<std::string, Tensor>> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!m_[i].defined()) continue;
    state.emplace_back("m." + parameters_[i].path, m_[i]);
    state.emplace_back("v." + parameters_[i].path, v_[i]);
  }
  return state;
}

void AdamW::load_state(const std::map<std::string, Tensor>& state, int64_t steps, const std::string& file) {
  size_t used = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const NamedParameter& p = parameters_[i];
    const auto m = state.find("m." + p.path), v = state.find("v." + p.path);
    if ((m == state.end()) != (v == state.end()))
      fail(Exit::kBadData, "[{}] only one of the two moments of '{}' is there", file, p.path);
    if (m == state.end()) {
      m_[i] = v_[i] = Tensor();
      continue;
    }
    if (m->second.shape() != p.var.shape() || v->second.shape() != p.var.shape() ||
        m->second.dtype() != p.var.dtype() || v->second.dtype() != p.var.dtype())
      fail(Exit::kBadData, "[{}] the moments of '{}': expected {} {}, got {} and {}", file, p.path, name(p.var.dtype()),
           to_string(p.var.shape()), to_string(m->second, 0), to_string(v->second, 0));
    m_[i] = m->second.clone();
    v_[i] = v->second.clone();
    used += 2;
  }
  if (used != state.size())
    fail(Exit::kBadData,
         "[{}] expected moments of the trained parameters alone, got {} tensors of which {} belong to them", file,
         state.size(), used);
  steps_ = steps;
}

double global_norm(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> all;
  for (const Tensor& g : gradients)
    if (g.defined()) all.push_back(g.contiguous());
  if (all.empty()) return 0;
  double norm = 0;
  on_float(all[0].dtype(), "global_norm", [&]<class T>() {
    std::vector<const T*> buffers;
    std::vector<int64_t> sizes;
    for (const Tensor& g : all) {
      buffers.push_back(g.data<T>());
      sizes.push_back(g.numel());
    }
    T sum = 0;
    ON_DEVICE(all[0].device(), sum_of_squares<T>(current_stream(all[0].device()), buffers.data(), sizes.data(),
                                                 static_cast<int64_t>(sizes.size()), &sum));
    norm = std::sqrt(static_cast<double>(sum));
  });
  return norm;
}

void clip_by_global_norm(std::vector<Tensor>& gradients, double norm, double max_norm) {
  const double factor = std::min(1.0, max_norm / (norm + 1e-6));
  if (factor >= 1) return;
  for (Tensor& g : gradients) {
    if (!g.defined()) continue;
    if (!g.is_contiguous()) g = g.clone();
    on_float(g.dtype(), "clip", [&]<class T>() {
      ON_DEVICE(g.device(),
                scale<T>(current_stream(g.device()), static_cast<T>(factor), g.data<T>(), g.data<T>(), g.numel()));
    });
    g.bump_version();
  }
}

double Schedule::factor(int64_t update) const {
  TAUT_CHECK(update >= 1, "[schedule] updates count from 1, got {}", update);
  const auto s = static_cast<double>(update - 1), w = static_cast<double>(warmup), t = static_cast<double>(total);
  if (s < w) return s / w;
  const double progress = t > w ? std::min(1.0, (s - w) / (t - w)) : 1.0;
  switch (kind) {
    case ScheduleKind::kConstant: return 1;
    case ScheduleKind::kLinear: return t > w ? 1 - progress : 1;
    case ScheduleKind::kCosine: return t > w ? 0.5 * (1 + portable_cos(3.14159265358979323846 * progress)) : 1;
  }
  return 1;
}

}  // namespace taut::nn
