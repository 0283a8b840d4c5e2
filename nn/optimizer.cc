#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "kernels/adamw_constants.h"
#include "kernels/pointwise.h"
#include "kernels/reduce.h"
#include "tensor/portable_math.h"

namespace taut::nn {
namespace {

// Uploaded at every step, to the same place.
template <class T>
void put_constants(Tensor& to, const AdamWStep& step, Device device) {
  const AdamWConstants<T> c = adamw_constants<T>(step);
  constexpr int64_t kNumbers = sizeof c / sizeof(T);
  if (!to.defined() || to.dtype() != dtype_of<T>()) to = Tensor::empty({kNumbers}, dtype_of<T>(), device);
  to.copy_from(Tensor::from(std::span(&c.grad_scale, kNumbers), {kNumbers}));
}

}  // namespace

AdamW::AdamW(std::vector<NamedParameter> parameters, std::vector<bool> decay, AdamWOptions options)
    : parameters_(std::move(parameters)),
      decay_(std::move(decay)),
      options_(options),
      m_(parameters_.size()),
      v_(parameters_.size()) {
  TAUT_CHECK(decay_.size() == parameters_.size(), "[adamw] expected a decay flag for each of {} parameters, got {}",
             parameters_.size(), decay_.size());
}

void AdamW::step(const std::vector<Tensor>& gradients, double lr, double gradient_scale) {
  TAUT_CHECK(gradients.size() == parameters_.size(), "[adamw] expected {} gradients, got {}", parameters_.size(),
             gradients.size());
  ++steps_;
  std::vector<Tensor> dense(gradients.size());
  std::string places;
  Device device;
  bool put[2] = {false, false};
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const Tensor& p = parameters_[i].var.value();
    device = p.device();
    dense[i] = gradients[i].contiguous();
    if (!m_[i].defined()) {
      m_[i] = Tensor::zeros(p.shape(), p.dtype(), device);
      v_[i] = Tensor::zeros(p.shape(), p.dtype(), device);
    }
    for (const Tensor* t : std::initializer_list<const Tensor*>{&p, &dense[i], &m_[i], &v_[i]})
      append_place(places, *t);
    if (std::exchange(put[decay_[i]], true)) continue;
    const AdamWStep step{.lr = lr,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .weight_decay = decay_[i] ? options_.weight_decay : 0,
                         .t = steps_,
                         .grad_scale = gradient_scale};
    on_float(p.dtype(), "adamw", [&]<class T>() { put_constants<T>(constants_[decay_[i]], step, device); });
  }
  if (places.empty()) return;
  if (repeated_ == nullptr) repeated_ = std::make_unique<RepeatedStep>(device);
  for (const Tensor& c : constants_)
    if (c.defined()) append_place(places, c);
  repeated_->run(places, [&] {
    on_float(constants_[put[1]].dtype(), "adamw", [&]<class T>() {
      std::vector<AdamWTensor<T>> tensors;
      for (size_t i = 0; i < parameters_.size(); ++i) {
        if (!dense[i].defined()) continue;
        Tensor p = parameters_[i].var.value();
        const auto* constants = reinterpret_cast<const AdamWConstants<T>*>(constants_[decay_[i]].template data<T>());
        tensors.push_back({p.data<T>(), dense[i].template data<T>(), m_[i].template data<T>(), v_[i].template data<T>(),
                           p.numel(), constants});
      }
      ON_DEVICE(device, adamw_step<T>(current_stream(device), tensors.data(), std::ssize(tensors)));
    });
  });
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (dense[i].defined()) Tensor(parameters_[i].var.value()).bump_version();
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
    const Device device = p.var.value().device();
    m_[i] = m->second.clone().to(device);
    v_[i] = v->second.clone().to(device);
    used += 2;
  }
  if (used != state.size())
    fail(Exit::kBadData,
         "[{}] expected moments of the trained parameters alone, got {} tensors of which {} belong to them", file,
         state.size(), used);
  steps_ = steps;
}

Tensor sum_of_squares(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> all;
  for (const Tensor& g : gradients)
    if (g.defined()) all.push_back(g.contiguous());
  if (all.empty()) return Tensor::zeros({});
  const Device device = all[0].device();
  Tensor sum = Tensor::empty({}, all[0].dtype(), device);
  on_float(sum.dtype(), "global_norm", [&]<class T>() {
    std::vector<const T*> buffers;
    std::vector<int64_t> sizes;
    for (const Tensor& g : all) {
      buffers.push_back(g.data<T>());
      sizes.push_back(g.numel());
    }
    ON_DEVICE(device, sum_of_squares<T>(current_stream(device), buffers.data(), sizes.data(),
                                        static_cast<int64_t>(sizes.size()), sum.data<T>()));
  });
  return sum;
}

double global_norm(const std::vector<Tensor>& gradients) { return std::sqrt(sum_of_squares(gradients).item()); }

double clip_factor(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }

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
