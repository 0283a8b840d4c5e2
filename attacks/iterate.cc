#include "attacks/iterate.h"

#include <algorithm>
#include <optional>

#include "attacks/norm_ball.h"
#include "autograd/engine.h"
#include "autograd/ops.h"
#include "kernels/graph.h"
#include "kernels/pgd.h"

namespace taut::attacks {
namespace {

// What is known of an iterate, one number an image, on the images' device: nothing is read on the host before the end.
struct Verdicts {
  Tensor predicted, losses, zeros;  // (b): class, cross-entropy, pixels whose gradient is exactly zero
  Verdicts(const Shape& shape, DType dtype, Device device)
      : predicted(Tensor::empty(shape, DType::kI64, device)),
        losses(Tensor::empty(shape, dtype, device)),
        zeros(Tensor::zeros(shape, DType::kI64, device)) {}
  void keep(int64_t row, const Verdicts& one) {
    predicted.slice(0, row, 1).copy_from(one.predicted.reshape({1, -1}));
    losses.slice(0, row, 1).copy_from(one.losses.reshape({1, -1}));
    zeros.slice(0, row, 1).copy_from(one.zeros.reshape({1, -1}));
  }
};

void judge(const Tensor& logits, const Tensor& labels, Verdicts& verdicts) {
  const NoGrad no_grad;
  verdicts.predicted.copy_from(argmax(logits));
  verdicts.losses.copy_from(ops::cross_entropy(Var(logits), labels, 0, ops::Reduction::kNone).value());
}

// Elements of each image's part of the gradient that are exactly zero.
void count_zeros_of(const Tensor& gradient, Tensor& zeros) {
  const int64_t samples = gradient.size(0), n = gradient.numel() / std::max<int64_t>(samples, 1);
  on_stored(gradient.dtype(), "attack", [&]<class T>() {
    ON_DEVICE(gradient.device(),
              count_zeros<T>(current_stream(gradient.device()), gradient.data<T>(), zeros.data<int64_t>(), samples, n));
  });
}

// The gradient of the sum over the images of what is ascended: of each image its own, unscaled.
Tensor gradient_of(const Objective& objective, const Var& logits, const Tensor& labels, const Var& input) {
  const Var ascended = objective(logits, labels);
  const Tensor ones = Tensor::full(ascended.shape(), 1, ascended.dtype(), ascended.value().device());
  const Tensor g = gradients({ascended}, {ones}, {input}, true)[0];
  TAUT_CHECK(g.defined(), "[attack] the logits do not depend on the images");
  return g.contiguous();
}

// The patches of the iterate, and the step that moves both.
class PatchStep {
 public:
  PatchStep(const InputStage& stage, const Tensor& x, const Tensor& adv)
      : stage_(stage),
        shape_{x.size(0), x.size(1), x.size(2), x.size(3), stage.patches.patch},
        mean_(ops::constant(stage.patches.mean, x.dtype(), x.device())),
        std_(ops::constant(stage.patches.std, x.dtype(), x.device())),
        patches_(ops::patchify(Var(adv), stage.patches).value()) {}

  const Tensor& patches() const { return patches_; }
  Var logits(const Var& patches) const { return stage_.logits(patches, {shape_.b, shape_.c, shape_.h, shape_.w}); }

  void ascend(const Tensor& x, const Tensor& gradient, Tensor& adv, const AttackConfig& config) {
    on_stored(patches_.dtype(), "attack", [&]<class T>() {
      using R = Real<T>;
      ON_DEVICE(x.device(), pgd_step_patches<T>(current_stream(x.device()), x.data<R>(), gradient.data<T>(),
                                                mean_.data<R>(), std_.data<R>(), adv.data<R>(), patches_.data<T>(),
                                                shape_, static_cast<R>(config.alpha), static_cast<R>(config.eps)));
    });
    adv.bump_version();
    patches_.bump_version();
  }

 private:
  const InputStage& stage_;
  PatchShape shape_;
  Tensor mean_, std_, patches_;
};

// The record of all iterates, on the host.
void read(const Verdicts& all, const Tensor& labels, int64_t pixels, AttackResult& result) {
  const Tensor predicted = all.predicted.to(Device{}), zeros = all.zeros.to(Device{}), wanted = labels.to(Device{});
  const std::vector<double> losses = all.losses.to_doubles();
  const int64_t iterates = predicted.size(0), b = predicted.size(1);
  for (int64_t k = 0; k < iterates; ++k) {
    std::vector<uint8_t> correct(static_cast<size_t>(b));
    for (int64_t i = 0; i < b; ++i) {
      const auto at = static_cast<size_t>(i);
      correct[at] = predicted.data<int64_t>()[k * b + i] == wanted.data<int64_t>()[i];
      const int64_t here = zeros.data<int64_t>()[k * b + i];
      result.zero_pixels += here;
      if (k + 1 < iterates && here == pixels) result.zero_gradient[at] = 1;
    }
    result.correct.push_back(std::move(correct));
    result.losses.emplace_back(losses.begin() + k * b, losses.begin() + (k + 1) * b);
  }
  result.judged_pixels += (iterates - 1) * b * pixels;
}

}  // namespace

Tensor start_point(const Tensor& x, const AttackConfig& config, const AttackSeed& seed) {
  const bool moves = config.eps > 0 && config.steps > 0;
  return moves && config.random_start ? random_start(x, config, seed) : x.clone();
}

AttackResult iterate(const Logits& model, const Tensor& x, const Tensor& labels, const AttackConfig& config, Tensor adv,
                     const Direction& direction, const Objective& objective, Steps kind) {
  TAUT_CHECK(x.defined() && x.ndim() == 4 && x.is_contiguous(), "[attack] expected images (b, c, h, w), got {}",
             x.defined() ? to_string(x.shape()) : "none");
  TAUT_CHECK(labels.defined() && labels.dtype() == DType::kI64 && labels.shape() == Shape{x.size(0)},
             "[attack] expected labels i64 of shape ({}), got {}", x.size(0), to_string(labels, 0));
  TAUT_CHECK(adv.shape() == x.shape() && adv.dtype() == x.dtype(), "[attack] expected a start {}, got {}",
             to_string(x.shape()), to_string(adv.shape()));
  AttackResult result;
  const int64_t b = x.size(0), steps = config.eps > 0 ? config.steps : 0;
  result.zero_gradient.assign(static_cast<size_t>(b), 0);
  Verdicts all({steps + 1, b}, x.dtype(), x.device()), now({b}, x.dtype(), x.device());
  std::optional<PatchStep> fused;
  if (model.stage() != nullptr && !direction && config.norm == Norm::kLinf && steps > 0)
    fused.emplace(*model.stage(), x, adv);
  // Reads adv, its patches and `now` and writes to them alone, in place: one step is every step.
  const auto step = [&] {
    const Var input(fused ? fused->patches() : adv, true);
    const Var logits = fused ? fused->logits(input) : model(input);
    judge(logits.value(), labels, now);
    const Tensor g = gradient_of(objective, logits, labels, input);
    count_zeros_of(g, now.zeros);
    if (fused)
      fused->ascend(x, g, adv, config);
    else
      ascend(x, direction ? direction(g) : g, adv, config);
  };
  RepeatedStep repeated(x.device());
  for (int64_t k = 0; k < steps; ++k) {
    if (kind == Steps::kAlike)
      repeated.run("", step);
    else
      step();
    all.keep(k, now);
  }
  const NoGrad no_grad;
  const Var logits = model(Var(adv));
  judge(logits.value(), labels, now);
  now.zeros.fill(0);
  all.keep(steps, now);
  read(all, labels, b > 0 ? x.numel() / b : 0, result);
  result.adversarial = adv;
  result.logits = logits.value();
  return result;
}

}  // namespace taut::attacks
