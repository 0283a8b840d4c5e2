#include "attacks/iterate.h"

#include <algorithm>

#include "attacks/norm_ball.h"
#include "autograd/engine.h"
#include "autograd/ops.h"

namespace taut::attacks {
namespace {

void judge(const Tensor& logits, const Tensor& labels, AttackResult& result) {
  const NoGrad no_grad;
  const std::vector<int64_t> predicted = argmax_rows(logits);
  const Tensor wanted = labels.to(Device{});
  std::vector<uint8_t> correct(predicted.size());
  for (size_t i = 0; i < predicted.size(); ++i) correct[i] = predicted[i] == wanted.data<int64_t>()[i];
  result.correct.push_back(std::move(correct));
  result.losses.push_back(ops::cross_entropy(Var(logits), labels, 0, ops::Reduction::kNone).value().to_doubles());
}

// Exact zeros in a gradient, over all pixels and as images that are zero altogether.
void count_zeros(const Tensor& gradient, AttackResult& result) {
  const Tensor g = gradient.to(Device{});
  const int64_t samples = g.size(0), n = g.numel() / std::max<int64_t>(samples, 1);
  on_float(g.dtype(), "attack", [&]<class T>() {
    const T* p = g.data<T>();
    for (int64_t i = 0; i < samples; ++i) {
      int64_t here = 0;
      for (int64_t j = 0; j < n; ++j) here += p[i * n + j] == T(0);
      result.zero_pixels += here;
      if (here == n) result.zero_gradient[static_cast<size_t>(i)] = 1;
    }
  });
  result.judged_pixels += g.numel();
}

}  // namespace

Tensor start_point(const Tensor& x, const AttackConfig& config, const AttackSeed& seed) {
  const bool moves = config.eps > 0 && config.steps > 0;
  return moves && config.random_start ? random_start(x, config, seed) : x.clone();
}

Tensor steepest(const Tensor& gradient) { return gradient; }

AttackResult iterate(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config, Tensor adv,
                     const Direction& direction, const Objective& objective) {
  TAUT_CHECK(x.defined() && x.ndim() == 4 && x.is_contiguous(), "[attack] expected images (b, c, h, w), got {}",
             x.defined() ? to_string(x.shape()) : "none");
  TAUT_CHECK(labels.defined() && labels.dtype() == DType::kI64 && labels.shape() == Shape{x.size(0)},
             "[attack] expected labels i64 of shape ({}), got {}", x.size(0), to_string(labels, 0));
  TAUT_CHECK(adv.shape() == x.shape() && adv.dtype() == x.dtype(), "[attack] expected a start {}, got {}",
             to_string(x.shape()), to_string(adv.shape()));
  AttackResult result;
  result.zero_gradient.assign(static_cast<size_t>(x.size(0)), 0);
  const int64_t steps = config.eps > 0 ? config.steps : 0;
  for (int64_t k = 0; k < steps; ++k) {
    const Var image(adv, true);
    const Var logits = model(image);
    judge(logits.value(), labels, result);
    // One number an image: their sum has the gradient of each image unscaled.
    const Var ascended = objective(logits, labels);
    const Tensor ones = Tensor::full(ascended.shape(), 1, ascended.dtype(), ascended.value().device());
    const Tensor g = gradients({ascended}, {ones}, {image}, true)[0];
    TAUT_CHECK(g.defined(), "[attack] the logits do not depend on the images");
    const Tensor dense = g.contiguous();
    count_zeros(dense, result);
    Tensor next = adv.clone();
    ascend(x, direction(dense), next, config);
    adv = next;
  }
  const NoGrad no_grad;
  const Var logits = model(Var(adv));
  judge(logits.value(), labels, result);
  result.adversarial = adv;
  result.logits = logits.value();
  return result;
}

}  // namespace taut::attacks
