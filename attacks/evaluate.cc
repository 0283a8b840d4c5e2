#include "attacks/evaluate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attacks/norm_ball.h"
#include "autograd/ops.h"
#include "kernels/device_memory.h"
#include "kernels/reduce.h"

namespace taut::attacks {
namespace {

// What f32 may exceed a budget by: a few roundings of pixels in [0, 1], of distances up to the budget.
constexpr double kBudgetTolerance = 1e-6;

void check_subject(const Subject& subject) {
  TAUT_CHECK(!subject.training, "[evaluate] the model is in training mode; hint: set_training(false) first");
  TAUT_CHECK(subject.attacked && subject.judge, "[evaluate] expected a model and a judge");
}

Batch checked_batch(const Batches& batches, int64_t begin, int64_t count, int64_t classes) {
  Batch batch = batches(begin, count);
  TAUT_CHECK(batch.images.defined() && batch.images.size(0) == count && static_cast<int64_t>(batch.ids.size()) == count,
             "[evaluate] expected a batch of {} images", count);
  const auto labels = batch.labels.span<int64_t>();
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      fail(Exit::kBadData, "[evaluate] image {}: expected a label in [0, {}), got {}", batch.ids[i], classes,
           labels[i]);
  return batch;
}

// The batches of an evaluation in their order. On a GPU the next one is loaded, and on its way through pinned memory,
// while the device works on this one.
class InTurn {
 public:
  InTurn(const Subject& subject, const Batches& batches, const EvaluateOptions& options)
      : subject_(subject), batches_(batches), options_(options) {}
  // Where an error ends the evaluation, a copy under way arrives before its memory is another's.
  ~InTurn() {
    if (!ahead_.images.defined()) return;
    try {
      await_copies_ahead(subject_.device);
    } catch (const Error&) {  // the device has failed: the first error is told already
    }
  }
  InTurn(const InTurn&) = delete;
  InTurn& operator=(const InTurn&) = delete;

  struct Loaded {
    int64_t begin = 0, end = 0;
    Batch host;
    Tensor images, labels;  // on the subject's device
  };
  // False after the last one.
  bool next(Loaded* to) {
    if (begin_ >= options_.n) return false;
    if (!ahead_.images.defined()) load(false);
    *to = std::exchange(ahead_, {});
    begin_ = to->end;
    await_copies_ahead(subject_.device);
    return true;
  }
  // To be called once the device has work.
  void load_ahead() {
    if (subject_.device.kind != DeviceKind::kCpu && begin_ < options_.n) load(true);
  }

 private:
  // Into ahead_, which has the memory before a copy to it is under way.
  void load(bool ahead) {
    const int64_t end = std::min(begin_ + options_.batch, options_.n);
    Batch host = checked_batch(batches_, begin_, end - begin_, subject_.classes);
    const auto memory = [&](const Tensor& t) {
      return ahead ? Tensor::empty(t.shape(), t.dtype(), subject_.device) : t.to(subject_.device);
    };
    const Tensor images = memory(host.images), labels = memory(host.labels);
    ahead_ = {.begin = begin_, .end = end, .host = std::move(host), .images = images, .labels = labels};
    if (!ahead) return;
    const auto send = [&](const Tensor& from, Tensor& to) {
      const Tensor dense = from.contiguous();
      copy_ahead(to.raw(), subject_.device, dense.raw(), static_cast<size_t>(dense.bytes()));
    };
    send(ahead_.host.images, ahead_.images);
    send(ahead_.host.labels, ahead_.labels);
  }

  const Subject& subject_;
  const Batches& batches_;
  const EvaluateOptions& options_;
  int64_t begin_ = 0;
  Loaded ahead_;
};

struct Range {
  double low, high;
  int64_t nonfinite;
};

Range range_of(const Tensor& t) {
  Range r{};
  on_float(t.dtype(), "evaluate", [&]<class T>() {
    T low = 0, high = 0;
    const Stream stream = current_stream(t.device());
    ON_DEVICE(t.device(), min_max<T>(stream, t.data<T>(), &low, &high, t.numel()));
    ON_DEVICE(t.device(), count_nonfinite<T>(stream, t.data<T>(), t.numel(), &r.nonfinite));
    r.low = static_cast<double>(low);
    r.high = static_cast<double>(high);
  });
  return r;
}

// Correct at rank 1 and within the first five: the label's logit beats all but at most four; ties go to the smaller
// index.
void count_top(const Tensor& logits, const Tensor& labels, CleanResult& result) {
  const std::vector<double> z = logits.to_doubles();
  const int64_t classes = logits.size(1);
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const double* row = z.data() + i * classes;
    const int64_t label = labels.data<int64_t>()[i];
    int64_t better = 0;
    for (int64_t j = 0; j < classes; ++j) better += row[j] > row[label] || (row[j] == row[label] && j < label);
    result.correct.push_back(better == 0);
    result.top1_correct += better == 0;
    result.top5_correct += better < 5;
  }
}

// Softmax outputs instead of logits would hide gradients.
bool looks_like_probabilities(const Tensor& logits) {
  const std::vector<double> z = logits.to_doubles();
  const int64_t classes = logits.size(1);
  for (int64_t i = 0; i < logits.size(0); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < classes; ++j) {
      const double v = z[static_cast<size_t>(i * classes + j)];
      if (v < 0 || v > 1) return false;
      sum += v;
    }
    if (std::abs(sum - 1) > 1e-4) return false;
  }
  return logits.size(0) > 0 && classes > 1;
}

// Whether the verdict on row i hangs by rounding: label and best other logit closer than `rounding` of the largest
// logit.
bool is_close_call(const std::vector<double>& z, int64_t classes, int64_t i, int64_t label, double rounding) {
  double other = -INFINITY, largest = 0;
  for (int64_t j = 0; j < classes; ++j) {
    const double v = z[static_cast<size_t>(i * classes + j)];
    if (j != label) other = std::max(other, v);
    largest = std::max(largest, std::abs(v));
  }
  return std::abs(z[static_cast<size_t>(i * classes + label)] - other) <= rounding * largest;
}

Tensor row_of(const Tensor& batch, int64_t i) {
  return batch.slice(0, i, 1).clone().to(Device{}).reshape({batch.size(1), batch.size(2), batch.size(3)});
}

}  // namespace

Interval binomial_interval(int64_t k, int64_t n) {
  if (n == 0) return {0, 1};
  constexpr double z = 1.959963984540054;
  const double p = static_cast<double>(k) / static_cast<double>(n), m = static_cast<double>(n);
  const double center = (p + z * z / (2 * m)) / (1 + z * z / m);
  const double half = z / (1 + z * z / m) * std::sqrt(p * (1 - p) / m + z * z / (4 * m * m));
  return {std::max(0.0, center - half), std::min(1.0, center + half)};
}

CleanResult evaluate_clean(const Subject& subject, const Batches& batches, const EvaluateOptions& options) {
  check_subject(subject);
  const NoGrad no_grad;
  CleanResult result;
  double loss = 0;
  InTurn in_turn(subject, batches, options);
  for (InTurn::Loaded batch; in_turn.next(&batch);) {
    const Var logits = subject.attacked(Var(batch.images));
    in_turn.load_ahead();
    count_top(logits.value(), batch.host.labels, result);
    for (const double l : ops::cross_entropy(logits, batch.labels, 0, ops::Reduction::kNone).value().to_doubles())
      loss += l;
    if (options.progress) options.progress(batch.end);
  }
  result.n = options.n;
  result.mean_loss = options.n > 0 ? loss / static_cast<double>(options.n) : 0;
  if (!std::isfinite(result.mean_loss)) fail(Exit::kNumeric, "[evaluate] the mean clean loss is {}", result.mean_loss);
  return result;
}

void Tally::add(const Tally& other) {
  images += other.images;
  loss_clean += other.loss_clean;
  loss_adv += other.loss_adv;
  max_perturbation = std::max(max_perturbation, other.max_perturbation);
  low = std::min(low, other.low);
  high = std::max(high, other.high);
  for (int64_t Tally::*count : {&Tally::nonfinite, &Tally::verdicts_differ, &Tally::unexplained,
                                &Tally::clean_verdicts_differ, &Tally::clean_unexplained, &Tally::steps_not_falling,
                                &Tally::steps, &Tally::zero_images, &Tally::zero_pixels, &Tally::judged_pixels})
    this->*count += other.*count;
}

double Tally::mean_loss_clean() const { return images > 0 ? loss_clean / static_cast<double>(images) : 0; }
double Tally::mean_loss_adv() const { return images > 0 ? loss_adv / static_cast<double>(images) : 0; }
double Tally::loss_increase_share() const {
  return steps > 0 ? static_cast<double>(steps_not_falling) / static_cast<double>(steps) : 1;
}
double Tally::zero_gradient_share() const {
  return judged_pixels > 0 ? static_cast<double>(zero_pixels) / static_cast<double>(judged_pixels) : 0;
}

std::vector<CheckResult> checks_of(const Tally& t, const AttackConfig& attack) {
  const bool losses_finite = std::isfinite(t.loss_clean) && std::isfinite(t.loss_adv);
  // A merged model and its unmerged judge round differently: only a verdict that hangs by that may differ. The judge's
  // counts.
  return {
      {"budget", fmt::format("{:.9g} of {:.9g}", t.max_perturbation, attack.eps),
       t.max_perturbation <= attack.eps + kBudgetTolerance * std::max(1.0, attack.eps)},
      {"range", fmt::format("[{:.9g}, {:.9g}]", t.low, t.high), t.images == 0 || (t.low >= 0 && t.high <= 1)},
      {"finite", fmt::format("{} non-finite pixels", t.nonfinite), t.nonfinite == 0},
      {"finite loss", fmt::format("{:.6g} attacked", t.mean_loss_adv()), losses_finite},
      {"re-judge",
       fmt::format("{} of {} verdicts differ, {} by more than rounding", t.verdicts_differ, t.images, t.unexplained),
       t.unexplained == 0},
      {"clean path",
       fmt::format("{} of {} clean verdicts differ, {} by more than rounding", t.clean_verdicts_differ, t.images,
                   t.clean_unexplained),
       t.clean_unexplained == 0},
      {"zero gradient", fmt::format("{} images, {:.4g} of all pixels", t.zero_images, t.zero_gradient_share()),
       t.zero_images == 0}};
}

RobustResult evaluate_robust(const Subject& subject, const Batches& batches, const AttackConfig& given,
                             const EvaluateOptions& options) {
  check_subject(subject);
  const AttackConfig attack = resolve(given);
  RobustResult result;
  result.n = options.n;
  Tally& tally = result.tally;
  tally.images = options.n;
  InTurn in_turn(subject, batches, options);
  for (InTurn::Loaded loaded; in_turn.next(&loaded);) {
    const auto& [begin, end, batch, images, labels] = loaded;
    const Range input = range_of(batch.images);
    if (input.nonfinite > 0 || input.low < 0 || input.high > 1)
      fail(Exit::kBadData, "[evaluate] images {} to {}: expected pixels in [0, 1], got [{}, {}] and {} non-finite",
           begin, end - 1, input.low, input.high, input.nonfinite);

    Tensor clean_logits;
    {
      const NoGrad no_grad;
      clean_logits = subject.attacked(Var(images)).value();
      in_turn.load_ahead();
      for (const double l :
           ops::cross_entropy(Var(clean_logits), labels, 0, ops::Reduction::kNone).value().to_doubles())
        tally.loss_clean += l;
    }
    if (begin == 0 && looks_like_probabilities(clean_logits))
      fail(Exit::kUsage, "[evaluate] the model's outputs look like probabilities; hint: an attack needs logits");
    const std::vector<int64_t> clean = argmax_rows(clean_logits);

    const AttackResult run =
        run_attack(subject.attacked, images, labels, attack, {options.seed, options.step, batch.ids});
    for (const double d : distances(images, run.adversarial, attack.norm))
      tally.max_perturbation = std::max(tally.max_perturbation, d);
    const Range output = range_of(run.adversarial);
    tally.low = std::min(tally.low, output.low);
    tally.high = std::max(tally.high, output.high);
    tally.nonfinite += output.nonfinite;

    std::vector<int64_t> judged, judged_clean;
    {
      const NoGrad no_grad;
      judged_clean = argmax_rows(subject.judge(Var(images)).value());
      judged = argmax_rows(subject.judge(Var(run.adversarial)).value());
    }
    const std::vector<int64_t> attacked = argmax_rows(run.logits);
    const std::vector<double> logits = run.logits.to_doubles(), clean_values = clean_logits.to_doubles();
    for (int64_t i = 0; i < end - begin; ++i) {
      const auto at = static_cast<size_t>(i);
      const int64_t label = batch.labels.data<int64_t>()[i];
      const bool clean_ok = judged_clean[at] == label, last_ok = judged[at] == label;
      if (clean_ok != (clean[at] == label)) {
        ++tally.clean_verdicts_differ;
        tally.clean_unexplained += !is_close_call(clean_values, clean_logits.size(1), i, label, subject.rounding);
      }
      if (last_ok != (attacked[at] == label)) {
        ++tally.verdicts_differ;
        tally.unexplained += !is_close_call(logits, run.logits.size(1), i, label, subject.rounding);
      }
      bool best_ok = clean_ok && last_ok;
      for (const auto& iterate : run.correct) best_ok = best_ok && iterate[at];
      result.clean_ok.push_back(clean_ok);
      result.last_ok.push_back(last_ok);
      result.best_ok.push_back(best_ok);
      for (size_t k = 1; k < run.losses.size(); ++k) {
        tally.steps_not_falling += run.losses[k][at] >= run.losses[k - 1][at];
        ++tally.steps;
      }
      tally.loss_adv += run.losses.back()[at];
      if (static_cast<int64_t>(result.kept_clean.size()) < options.keep_images) {
        result.kept_clean.push_back(row_of(batch.images, i));
        result.kept_adversarial.push_back(row_of(run.adversarial, i));
        result.kept_labels.push_back(label);
        result.kept_clean_prediction.push_back(clean[at]);
        result.kept_adversarial_prediction.push_back(judged[at]);
      }
    }
    tally.zero_pixels += run.zero_pixels;
    tally.judged_pixels += run.judged_pixels;
    tally.zero_images += std::count(run.zero_gradient.begin(), run.zero_gradient.end(), 1);
    if (options.progress) options.progress(end);
  }
  const auto total = [](const std::vector<uint8_t>& flags) { return std::count(flags.begin(), flags.end(), 1); };
  result.clean_correct = total(result.clean_ok);
  result.robust_last_correct = total(result.last_ok);
  result.robust_best_correct = total(result.best_ok);
  result.checks = checks_of(tally, attack);
  for (const CheckResult& c : result.checks) {
    const bool is_flag = c.name == "zero gradient";  // reported: a saturated model is a finding, not an error of ours
    const bool is_numeric = c.name == "finite" || c.name == "finite loss";
    if (!c.pass && !is_flag)
      fail(is_numeric ? Exit::kNumeric : Exit::kCheckFailed, "[evaluate] the check '{}' failed: {}", c.name, c.value);
  }
  return result;
}

}  // namespace taut::attacks
