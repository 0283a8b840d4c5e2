#include "study/command/bench_model.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "attacks/norm_ball.h"
#include "attacks/pgd.h"
#include "autograd/engine.h"
#include "autograd/ops.h"
#include "kernels/arena.h"
#include "kernels/devices.h"
#include "kernels/error.h"
#include "kernels/lab/gpu_libraries.h"
#include "kernels/lab/peak.h"
#include "kernels/parallel.h"
#include "nn/init.h"
#include "study/run/evaluate.h"
#include "study/run/model.h"
#include "study/run/point.h"
#include "tensor/random.h"

namespace taut::study {
namespace {

constexpr size_t kRepetitions = 7;
constexpr int kInputs = 3, kAttackSteps = 15;
constexpr double kTargetSeconds = 0.15;  // shorter passes are repeated until a timing is this long

// Images of a data set are kept as bytes, and so are these: one batch of floats is alive at a time, as in training. On
// a GPU one batch of floats lies there before a clock runs, as in what it is compared with.
class Inputs {
 public:
  Inputs(const nn::ModelConfig& shape, int64_t batch, Device device)
      : images_(Tensor::empty({batch, shape.channels, shape.image_size, shape.image_size})) {
    Random random(1, Purpose::kTest);
    pixels_.resize(static_cast<size_t>(kInputs * images_.numel()));
    for (uint8_t& p : pixels_) p = static_cast<uint8_t>(random.bits());
    labels_ = Tensor::empty({batch}, DType::kI64);
    for (int64_t& l : labels_.span<int64_t>())
      l = static_cast<int64_t>(random.below(static_cast<uint64_t>(shape.classes)));
    if (device.kind == DeviceKind::kCpu) return;
    there_ = converted(0).to(device);
    labels_ = labels_.to(device);
  }

  // On the CPU other images than the last.
  const Tensor& next() { return there_.defined() ? there_ : converted(used_++ % kInputs); }
  const Tensor& labels() const { return labels_; }

 private:
  const Tensor& converted(int64_t i) {
    const uint8_t* from = pixels_.data() + i * images_.numel();
    float* to = images_.data<float>();
    parallel_for(images_.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = static_cast<float>(from[i]) * (1.0F / 255);
    });
    return images_;
  }

  Tensor images_, labels_, there_;
  std::vector<uint8_t> pixels_;
  int64_t used_ = 0;
};

struct Timing {
  double seconds = 0, peak_gflops = 0;
};

// One pass after another; before each the peak, so that a clock that changes meets both.
Timing measure(const std::function<void()>& timed, int threads, Device device, const Pace& pace) {
  const bool on_cpu = device.kind == DeviceKind::kCpu;
  const int clock = on_cpu ? threads : 2;  // what a GPU does costs this thread no time
  const auto pass = [&] {
    timed();
    synchronize(device);
  };
  pass();
  const double first = bench_seconds(clock);
  pass();
  const double once = bench_seconds(clock) - first;
  const int in_a_row = std::max(1, static_cast<int>(kTargetSeconds / std::max(once, 1e-6)));
  std::vector<double> seconds;
  Timing timing;
  while (pace ? pace(seconds.empty() ? 0 : seconds.back()) : seconds.size() < kRepetitions) {
    if (on_cpu) timing.peak_gflops = std::max(timing.peak_gflops, measure_fma_peak_gflops(threads));
    const double begin = bench_seconds(clock);
    for (int i = 0; i < in_a_row; ++i) pass();
    seconds.push_back((bench_seconds(clock) - begin) / in_a_row);
  }
  TAUT_CHECK(!seconds.empty(), "[bench] expected to be asked for a repetition");
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  timing.seconds = *middle;
  return timing;
}

Timing time_train(const RunModel& model, Inputs& inputs, int threads, const Pace& pace) {
  finetune::Trainer trainer(model.net, {.lr = 1e-5,
                                        .weight_decay = 0.01,
                                        .clip = 1,
                                        .label_smoothing = 0,
                                        .mode = finetune::Mode::kFixed,
                                        .schedule = {nn::ScheduleKind::kConstant, 0, 1}});
  return measure([&] { trainer.step(inputs.next(), inputs.labels()); }, threads, model.net->device(), pace);
}

Timing time_forward(const RunModel& model, Inputs& inputs, int threads, const Pace& pace) {
  const auto net = finetune::evaluation_model(*model.net, *model.strategy, model.options);
  const NoGrad no_grad;
  const Device device = net->device();
  return measure([&] { net->forward(Var(inputs.next())); }, threads, device, pace);
}

Timing time_pgd(const RunModel& model, Inputs& inputs, const attacks::AttackConfig& attack, int threads,
                const Pace& pace) {
  const auto net = finetune::evaluation_model(*model.net, *model.strategy, model.options);
  const Device device = net->device();
  const Tensor clean = inputs.next(), labels = inputs.labels();
  if (device.kind != DeviceKind::kCpu) {  // a whole attack, whose steps a graph replays, as in an evaluation
    attacks::AttackConfig whole = attack;
    whole.steps = kAttackSteps;
    attacks::AttackSeed seed;
    for (int64_t i = 0; i < clean.size(0); ++i) seed.ids.push_back(i);
    const attacks::Logits logits = logits_of(net);
    Timing timing = measure([&] { attacks::pgd(logits, clean, labels, whole, seed); }, threads, device, pace);
    timing.seconds /= kAttackSteps;
    return timing;
  }
  Tensor adversarial = clean.clone();
  return measure(
      [&] {
        const Var image(adversarial, true);
        const Var losses = ops::cross_entropy(net->forward(image), labels, 0, ops::Reduction::kNone);
        const Tensor ones = Tensor::full(losses.shape(), 1, losses.dtype(), device);
        const Tensor g = gradients({losses}, {ones}, {image}, true)[0];
        Tensor next = adversarial.clone();
        attacks::ascend(clean, g.contiguous(), next, attack);
        adversarial = next;
      },
      threads, device, pace);
}

LtElement element_of(const Config& config) {
  switch (precision_by_name(config.text("model.precision"))) {
    case Precision::kBF16: return LtElement::kBF16;
    case Precision::kTF32: return LtElement::kTF32;
    case Precision::kF32: break;
  }
  return LtElement::kF32;
}

Row bench_pass(const Config& config, const std::string& pass, int64_t batch, int threads, Device device,
               const Pace& pace) {
  const int64_t before = arena_stats(device).in_use;
  reset_arena_peak(device);
  RunModel model = counted_model(config);
  nn::init_model(*model.net, 1);
  model.net->set_precision(precision_by_name(config.text("model.precision")));
  model.net->to(device);
  const nn::ModelConfig& shape = model.net->config();
  Timing timing;
  {
    Inputs inputs(shape, batch, device);
    if (pass == "train")
      timing = time_train(model, inputs, threads, pace);
    else if (pass == "forward")
      timing = time_forward(model, inputs, threads, pace);
    else if (pass == "pgd")
      timing = time_pgd(model, inputs, attack_config(config), threads, pace);
    else
      fail(Exit::kUsage, "[--pass] expected forward, train or pgd, got '{}'", pass);
  }
  const int64_t peak_memory = arena_stats(device).peak - before;
  const double passes = pass == "forward" ? 1 : pass == "pgd" ? 2 : training_passes(*model.strategy);
  const double gflops = passes * shape.forward_flops() * static_cast<double>(batch) / timing.seconds * 1e-9;
  Row row = {{"model", config.text("model.name")},
             {"strategy", model.strategy->name()},
             {"pass", pass},
             {"device", name(device.kind)},
             {"dtype", config.text("model.precision")},
             {"batch", batch},
             {"threads", threads},
             {"images_per_second", static_cast<double>(batch) / timing.seconds},
             {"gflops", gflops}};
  // Of a GPU the rate of cuBLASLt's matrix products in this precision, where it is there to be measured.
  const std::optional<double> peak_gflops =
      device.kind == DeviceKind::kCpu ? timing.peak_gflops : lab::matrix_gflops(device, element_of(config));
  row["peak_gflops"] = number_or_null(peak_gflops);
  row["fraction_of_peak"] = peak_gflops ? Row(gflops / *peak_gflops) : Row(nullptr);
  row["peak_memory_bytes"] = peak_memory;
  row["seconds_per_step"] = timing.seconds;
  return row;
}

}  // namespace

void refuse_debug_build() {
#ifdef TAUT_DEBUG_BUILD
  fail(Exit::kUnavailable, "[bench] this is a debug build, its times say nothing; hint: ./run build");
#endif
}

std::vector<Row> bench_model(const Config& config, const std::vector<std::string>& passes, int64_t batch, int threads,
                             Device device, const Pace& pace) {
  refuse_debug_build();
  std::vector<Row> rows;
  for (const std::string& pass : passes) rows.push_back(bench_pass(config, pass, batch, threads, device, pace));
  return rows;
}

}  // namespace taut::study
