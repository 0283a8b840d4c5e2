// Order on streams with a twin that does nothing before somebody waits: host code that forgets to wait reads rubbish.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "attacks/evaluate.h"
#include "attacks/pgd.h"
#include "autograd/ops.h"
#include "finetune/train.h"
#include "kernels/device_memory.h"
#include "kernels/devices.h"
#include "kernels/error.h"
#include "kernels/graph.h"
#include "tests/cuda/injected.h"
#include "tests/small_vit.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};

Tensor numbers(int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251) - 100;
  return Tensor::from(values, {n});
}

}  // namespace

TEST_CASE("copies through pinned memory arrive whole although the source changes at once") {
  const Injected restored;
  cuda_twin::set_deferred(true);
  for (const int64_t n : {int64_t{1}, int64_t{1} << 20, (int64_t{1} << 20) * 3 + 7}) {  // one slot, and more
    CAPTURE(n);
    const Tensor wanted = numbers(n);
    Tensor source = wanted.clone();
    const Tensor there = source.to(kSimt);
    source.fill(-1);
    const Tensor twice = ops::scale(Var(there), 2).value();
    const Tensor also_there = twice.to(kSimt).clone();
    CHECK(same_bytes(there, wanted));
    CHECK(same_bytes(also_there, ops::scale(Var(wanted), 2).value()));
  }
}

TEST_CASE("a device's clock runs while the work is done, not while it is asked for") {
  using namespace std::chrono;
  const Injected restored;
  cuda_twin::set_deferred(true);
  const Tensor x = numbers(1 << 12).to(kSimt);
  Tensor y;
  const auto work = [&] {
    for (int i = 0; i < 16; ++i) y = ops::scale(Var(x), 2).value();
  };
  work();  // the stream has something to do
  constexpr milliseconds kPause{50};
  const auto begin = steady_clock::now();
  const double busy = device_seconds(kSimt, [&] {
    work();
    std::this_thread::sleep_for(kPause);
  });
  // Whatever else the machine does: the pause lies within the host's time and outside the device's.
  CHECK(busy > 0);
  CHECK(busy + duration<double>(kPause).count() <= duration<double>(steady_clock::now() - begin).count());
  CHECK(same_bytes(y, ops::scale(Var(numbers(1 << 12)), 2).value()));
  using namespace cuda_twin;
  cudaEvent_t never = nullptr, untimed = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&never, cudaEventDefault) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming) == cudaSuccess);
  REQUIRE(cudaEventRecord(untimed, nullptr) == cudaSuccess);
  float milliseconds = 0;
  for (const cudaEvent_t event : {never, untimed})
    CHECK(cudaEventElapsedTime(&milliseconds, event, event) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(never) == cudaSuccess);
  CHECK(cudaEventDestroy(untimed) == cudaSuccess);
  fail_call("cudaEventElapsedTime", 1, cudaErrorUnknown);
  CHECK_THROWS_WITH_AS(device_seconds(kSimt, [] {}), doctest::Contains("cudaEventElapsedTime"), Error);
}

TEST_CASE("deferred work gives the bytes of work done at once") {
  const Injected restored;
  cuda_twin::set_deferred(true);
  const auto config = testing::small_config();
  const auto cpu = testing::random_vit(config, 1), simt = testing::random_vit(config, 1);
  for (const auto& vit : {cpu, simt}) vit->set_requires_grad(true);
  simt->to(kSimt);
  finetune::Trainer on_cpu(cpu, {}), on_simt(simt, {});
  std::vector<std::pair<Tensor, Tensor>> batches;
  for (const uint64_t seed : {5, 6, 7, 8, 9})
    batches.emplace_back(testing::random_images(config, 2, seed), testing::random_labels(2, config.classes, seed));
  for (size_t step = 0; step < batches.size(); ++step) {
    if (step + 1 < batches.size()) on_simt.prefetch(batches[step + 1].first, batches[step + 1].second);
    const auto& [x, y] = batches[step];
    CHECK(on_cpu.step(x, y).loss == on_simt.step(x, y).loss);
  }
}

TEST_CASE("an evaluation whose next batch comes while the device works gives the CPU's figures, or the batch's error") {
  const Injected restored;
  const auto config = testing::small_config();
  const auto cpu = testing::random_vit(config, 1), simt = testing::random_vit(config, 1);
  simt->to(kSimt);
  constexpr int64_t kImages = 7;
  const Tensor images = testing::random_images(config, kImages, 3), labels = testing::random_labels(kImages, 5, 3);
  int64_t last = kImages;  // images from here on cannot be read
  const attacks::Batches batches = [&](int64_t begin, int64_t count) {
    if (begin + count > last) fail(Exit::kBadData, "[test] image {} cannot be read", last);
    attacks::Batch b{images.slice(0, begin, count).clone(), labels.slice(0, begin, count).clone(), {}};
    for (int64_t i = 0; i < count; ++i) b.ids.push_back(begin + i);
    return b;
  };
  const auto subject = [&](const std::shared_ptr<nn::Vit>& vit, Device device) {
    const attacks::Logits logits = [vit](const Var& x) { return vit->forward(x); };
    return attacks::Subject{logits, logits, false, config.classes, device};
  };
  attacks::AttackConfig attack;
  attack.steps = 2;
  attacks::EvaluateOptions options;
  options.n = kImages;
  options.batch = 3;
  const attacks::Subject here = subject(cpu, {}), there = subject(simt, kSimt);
  const attacks::CleanResult clean = attacks::evaluate_clean(here, batches, options);
  const attacks::RobustResult robust = attacks::evaluate_robust(here, batches, attack, options);
  cuda_twin::set_deferred(true);
  for (int k = 0; k < 2; ++k) {
    const attacks::CleanResult got = attacks::evaluate_clean(there, batches, options);
    CHECK(got.correct == clean.correct);
    CHECK(got.mean_loss == clean.mean_loss);
    const attacks::RobustResult under_attack = attacks::evaluate_robust(there, batches, attack, options);
    CHECK(under_attack.last_ok == robust.last_ok);
    CHECK(under_attack.tally.loss_adv == robust.tally.loss_adv);
    last = 3;  // the second batch is asked for before the first is done
    int64_t done = 0;
    options.progress = [&](int64_t n) { done = n; };
    CHECK_THROWS_WITH_AS(attacks::evaluate_clean(there, batches, options), doctest::Contains("cannot be read"), Error);
    CHECK(done == 0);
    CHECK_THROWS_WITH_AS(attacks::evaluate_clean(here, batches, options), doctest::Contains("cannot be read"), Error);
    CHECK(done == 3);
    last = kImages;
    options.progress = {};
  }
}

TEST_CASE("an evaluation that ends with a batch on its way leaves nothing that writes into another's memory") {
  const Injected restored;
  cuda_twin::set_deferred(true);
  const attacks::Logits first_pixels = [](const Var& x) {
    return ops::slice(ops::reshape(x, {x.size(0), x.size(1) * x.size(2) * x.size(3)}), 1, 0, 5);
  };
  const attacks::Batches batches = [](int64_t, int64_t count) {
    attacks::Batch b{Tensor::full({count, 3, 16, 16}, 0.5), Tensor::zeros({count}, DType::kI64), {}};
    b.ids.resize(static_cast<size_t>(count));
    return b;
  };
  attacks::EvaluateOptions options;
  options.n = 4;
  options.batch = 2;
  options.progress = [](int64_t) { fail(Exit::kInterrupted, "[test] enough"); };
  const attacks::Subject subject{first_pixels, first_pixels, false, 5, kSimt};
  CHECK_THROWS_WITH_AS(attacks::evaluate_clean(subject, batches, options), doctest::Contains("enough"), Error);
  std::vector<Tensor> others;  // what was the evaluation's is among them
  for (int i = 0; i < 8; ++i) others.push_back(Tensor::full({2, 3, 16, 16}, 3, DType::kF32, kSimt));
  synchronize(kSimt);
  await_copies_ahead(kSimt);
  for (const Tensor& t : others) CHECK(same_bytes(t, Tensor::full({2, 3, 16, 16}, 3)));
}

TEST_CASE("a step is called, recorded and replayed, and reads what memory holds at each time") {
  Tensor x = numbers(1000).to(kSimt), y;
  RepeatedStep repeated(kSimt);
  const auto step = [&] { y = ops::square(Var(ops::scale(Var(x), 0.5).value())).value(); };
  for (int k = 0; k < 5; ++k) {
    CAPTURE(k);
    const Tensor now = ops::scale(Var(numbers(1000)), k).value();
    x.copy_from(now);
    repeated.run("1000", step);
    CHECK(same_bytes(y, ops::square(ops::scale(Var(now), 0.5)).value()));
    const Tensor others = Tensor::full({5000}, 3, DType::kF32, kSimt);  // no memory of the graph's
  }
  CHECK(repeated.counts().called == 1);
  CHECK(repeated.counts().recorded == 1);
  CHECK(repeated.counts().replayed == 3);
  x = numbers(7).to(kSimt);
  repeated.run("7", step);
  CHECK(y.numel() == 7);
  CHECK(repeated.counts().called == 2);
}

TEST_CASE("a step that looks at the device while it is recorded is refused, and nothing is broken by it") {
  const Tensor x = numbers(10).to(kSimt);
  double sum = 0;
  RepeatedStep repeated(kSimt);
  const auto step = [&] { sum = ops::sum(Var(x)).value().item(); };
  repeated.run("", step);
  CHECK(sum == -955);
  CHECK_THROWS_WITH_AS(repeated.run("", step), doctest::Contains("exchanged data with the host"), Error);
  CHECK(ops::sum(Var(x)).value().item() == -955);
}

TEST_CASE("training: the graph follows shapes that change and weights that are replaced") {
  const auto config = testing::small_config();
  const auto cpu = testing::random_vit(config, 1), simt = testing::random_vit(config, 1);
  for (const auto& vit : {cpu, simt}) vit->set_requires_grad(true);
  simt->to(kSimt);
  finetune::Trainer on_cpu(cpu, {}), on_simt(simt, {});
  const auto both = [&](int64_t b, uint64_t seed) {
    const Tensor x = testing::random_images(config, b, seed), y = testing::random_labels(b, config.classes, seed);
    CHECK(on_cpu.step(x, y).loss == on_simt.step(x, y).loss);
  };
  for (const uint64_t seed : {1, 2, 3, 4}) both(2, seed);
  both(1, 5);
  for (const uint64_t seed : {6, 7, 8}) both(2, seed);
  for (const auto& vit : {cpu, simt}) {
    Var head = vit->parameter("head.weight");
    head.set_value(Tensor::full(head.shape(), 0.25, DType::kF32, head.value().device()));
  }
  for (const uint64_t seed : {9, 10, 11}) both(2, seed);
  const Tensor x = testing::random_images(config, 2, 1);
  const Tensor wrong = Tensor::from(std::vector<int64_t>{0, config.classes}, {2});
  CHECK_THROWS_WITH_AS(on_simt.step(x, wrong), doctest::Contains("expected labels in"), Error);
}

TEST_CASE("an attack's replayed steps end with the CPU's bytes, verdicts and counts") {
  const auto config = testing::small_config();
  const auto cpu = testing::random_vit(config, 1), simt = testing::random_vit(config, 1);
  simt->to(kSimt);
  const Tensor x = testing::random_images(config, 3, 5), y = testing::random_labels(3, config.classes, 6);
  for (const char* name : {"pgd", "mifgsm", "mtpgd"}) {
    CAPTURE(name);
    attacks::AttackConfig attack;
    attack.name = name;
    attack.eps = 0.03;
    attack.alpha = 0.01;
    attack.steps = 6;
    attack.targets = 2;
    const attacks::AttackSeed seed{7, 0, {0, 1, 2}};
    // The step on patches on one side, single ops on the other.
    const auto staged = [](const std::shared_ptr<nn::Vit>& vit) {
      const auto of_patches = [vit](const Var& p, const Shape& images) { return vit->forward_of(p, images); };
      return attacks::Logits([vit](const Var& images) { return vit->forward(images); }, {vit->input(), of_patches});
    };
    const auto whole = [cpu](const Var& images) { return cpu->forward(images); };
    const auto a = attacks::run_attack(whole, x, y, attack, seed);
    const auto b = attacks::run_attack(staged(simt), x.to(kSimt), y.to(kSimt), attack, seed);
    CHECK(same_bytes(a.adversarial, b.adversarial));
    CHECK(a.losses == b.losses);
    CHECK(a.correct == b.correct);
    CHECK(a.zero_pixels == b.zero_pixels);
    CHECK(a.zero_gradient == b.zero_gradient);
  }
}

}  // namespace taut
