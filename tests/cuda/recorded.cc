// What is recorded into graphs of attacks and of training: how often, that it follows what changes, and that no byte
// depends on it.
#include <doctest/doctest.h>
#include <stdlib.h>

#include "attacks/iterate.h"
#include "finetune/train.h"
#include "kernels/arena.h"
#include "kernels/error.h"
#include "nn/weights.h"
#include "tests/cuda/injected.h"
#include "tests/small_resnet.h"

namespace taut {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};
constexpr int64_t kImages = 2, kBatches = 3, kSteps = 3;

// TAUT_GRAPHS=0 while it lives.
class NoGraphs {
 public:
  NoGraphs() { ::setenv("TAUT_GRAPHS", "0", 1); }
  ~NoGraphs() { ::unsetenv("TAUT_GRAPHS"); }
  NoGraphs(const NoGraphs&) = delete;
  NoGraphs& operator=(const NoGraphs&) = delete;
};

finetune::TrainOptions constant_rate() {
  finetune::TrainOptions options;
  options.schedule.kind = nn::ScheduleKind::kConstant;
  return options;
}

// As an evaluation sees a model.
attacks::Logits kept_logits(const std::shared_ptr<nn::Model>& net) {
  const auto of_patches = [net](const Var& p, const Shape& images) { return net->forward_of(p, images); };
  return {[net](const Var& images) { return net->forward(images); },
          {net->input(), of_patches},
          [net] { return net->places(); }};
}

struct AttackedBatch {
  Tensor x, y;
  attacks::AttackSeed seed;
};

AttackedBatch batch_of(const nn::ModelConfig& config, int64_t n, uint64_t number) {
  AttackedBatch b{
      testing::random_images(config, n, 10 + number), testing::random_labels(n, config.classes, number), {}};
  b.seed.seed = 7;
  for (int64_t i = 0; i < n; ++i) b.seed.ids.push_back(static_cast<int64_t>(number) * kImages + i);
  return b;
}

attacks::AttackConfig config_of(const std::string& name, attacks::Loss loss = attacks::Loss::kCrossEntropy,
                                attacks::Norm norm = attacks::Norm::kLinf) {
  attacks::AttackConfig c;
  c.name = name;
  c.norm = norm;
  c.loss = loss;
  c.eps = norm == attacks::Norm::kLinf ? 0.03 : 0.5;
  c.alpha = c.eps / 3;
  c.steps = kSteps;
  c.targets = 2;
  return c;
}

attacks::AttackResult attacked(const attacks::Logits& model, const AttackedBatch& b, const attacks::AttackConfig& c,
                               Device device) {
  return attacks::run_attack(model, b.x.to(device), b.y.to(device), c, b.seed);
}

void check_same(const attacks::AttackResult& a, const attacks::AttackResult& b) {
  CHECK(same_bytes(a.adversarial, b.adversarial));
  CHECK(same_bytes(a.logits, b.logits));
  CHECK(a.losses == b.losses);
  CHECK(a.correct == b.correct);
  CHECK(a.zero_pixels == b.zero_pixels);
  CHECK(a.zero_gradient == b.zero_gradient);
}

// Smaller than the others': the runner executes every thread of every step.
nn::VitConfig tiny_config() {
  nn::VitConfig c = testing::small_config();
  c.dim = 32;
  c.depth = 1;
  c.heads = 2;
  c.mlp = 32;
  return c;
}

// The same ViT on both devices.
struct Pair {
  nn::VitConfig config = tiny_config();
  std::shared_ptr<nn::Vit> cpu = testing::random_vit(config, 1), simt = testing::random_vit(config, 1);
  attacks::Logits on_cpu = kept_logits(cpu), on_simt = kept_logits(simt);

  Pair() { simt->to(kSimt); }
  // The next batch's attack on both is the same.
  void check(const attacks::AttackConfig& c, uint64_t number, int64_t n = kImages) const {
    const AttackedBatch b = batch_of(config, n, number);
    check_same(attacked(on_cpu, b, c, Device{}), attacked(on_simt, b, c, kSimt));
  }
  RepeatedStep::Counts counts() const { return on_simt.kept_step()->counts(); }
};

}  // namespace

TEST_CASE("an attack is recorded once for all batches of a shape, and once more for a smaller last one") {
  using attacks::Loss;
  using attacks::Norm;
  const Injected restored;
  for (const attacks::AttackConfig& c :
       {config_of("pgd"), config_of("pgd", Loss::kMargin), config_of("pgd", Loss::kMargin, Norm::kL2),
        config_of("mifgsm"), config_of("mifgsm", Loss::kMargin)}) {
    CAPTURE(c.name);
    CAPTURE(static_cast<int>(c.loss));
    CAPTURE(static_cast<int>(c.norm));
    const Pair pair;
    std::vector<AttackedBatch> batches;
    for (uint64_t k = 0; k < kBatches; ++k) batches.push_back(batch_of(pair.config, kImages, k));
    batches.push_back(batch_of(pair.config, kImages - 1, kBatches));
    cuda_twin::set_deferred(true);
    std::vector<attacks::AttackResult> all;
    for (const AttackedBatch& b : batches) all.push_back(attacked(pair.on_simt, b, c, kSimt));
    // Compared at the end: a batch's result is not the memory of the next one.
    for (size_t k = 0; k < batches.size(); ++k) check_same(all[k], attacked(pair.on_cpu, batches[k], c, Device{}));
    CHECK(pair.counts().called == 2);
    CHECK(pair.counts().recorded == 2);
    CHECK(pair.counts().replayed == kSteps * (kBatches + 1) - 4);
    CHECK(pair.on_cpu.kept_step()->counts().called == 0);  // nothing is kept there
    cuda_twin::set_deferred(false);
  }
}

TEST_CASE("an attack of one step is recorded at the second batch") {
  const Pair pair;
  for (uint64_t k = 0; k < kBatches; ++k) pair.check(config_of("fgsm"), k);
  CHECK(pair.counts().called == 1);
  CHECK(pair.counts().recorded == 1);
  CHECK(pair.counts().replayed == kBatches - 2);
}

TEST_CASE("attempts on the images that are left are recorded, too") {
  const Pair pair;
  attacks::AttackConfig often = config_of("pgd");
  often.restarts = 3;
  for (const attacks::AttackConfig& c : {config_of("mtpgd"), often})
    for (uint64_t k = 0; k < kBatches; ++k) pair.check(c, k);
  CHECK(pair.counts().replayed > 0);
}

TEST_CASE("a recorded attack follows settings, shapes and weights, and is recorded again only where it must be") {
  const Pair pair;
  uint64_t number = 0;
  int64_t recorded = 0;
  // Two batches under the same conditions: whether the first is recorded again, and the second then is not.
  const auto expect = [&](bool again, const attacks::AttackConfig& c, int64_t n = kImages) {
    pair.check(c, number++, n);
    recorded += again;
    CHECK(pair.counts().recorded == recorded);
    pair.check(c, number++, n);
    CHECK(pair.counts().recorded == recorded);
  };
  attacks::AttackConfig c = config_of("pgd");
  c.steps = 2;
  expect(true, c);
  c.steps = 3;  // only how often
  c.random_start = false;
  expect(false, c);
  c.eps = 0.05;
  expect(true, c);
  c.alpha = 0.02;
  expect(true, c);
  c.loss = attacks::Loss::kMargin;
  expect(true, c);
  c.norm = attacks::Norm::kL2;
  expect(true, c);
  c.name = "mifgsm";
  expect(true, c);
  c.norm = attacks::Norm::kLinf;
  expect(true, c);
  c = config_of("pgd");
  c.steps = 2;
  expect(true, c);
  expect(true, c, kImages - 1);
  expect(true, c);

  const auto both = [&](const auto& change) {
    for (const auto& vit : {pair.cpu, pair.simt}) change(*vit);
  };
  both([](nn::Vit& vit) {  // in place
    Tensor bias = vit.parameter("blocks.0.attn.qkv.bias").value();
    bias.fill(0.5);
  });
  expect(false, c);
  both([](nn::Vit& vit) {  // elsewhere
    Var weight = vit.parameter("blocks.0.attn.qkv.weight");
    weight.set_value(Tensor::full(weight.shape(), 0.01, DType::kF32, weight.value().device()));
  });
  expect(true, c);
  both([](nn::Vit& vit) { vit.reset_head(7, 3); });  // more classes; the CPU's new head goes to the device
  pair.simt->to(kSimt);
  c.loss = attacks::Loss::kMargin;
  expect(true, c);
}

TEST_CASE("directions are told apart by their names") {
  const Pair pair;
  const AttackedBatch b = batch_of(pair.config, kImages, 0);
  const auto ends_at = [&](const char* name, double sign) {
    const auto follow = [sign](const Tensor& g, Tensor& d) { d.copy_from(ops::scale(Var(g), sign).value()); };
    const Tensor x = b.x.to(kSimt);
    return attacks::iterate(pair.on_simt, x, b.y.to(kSimt), config_of("pgd"), x.clone(),
                            attacks::objective_of(attacks::Loss::kCrossEntropy), {name, follow})
        .losses.back()[0];
  };
  CHECK(ends_at("up", 1) > ends_at("down", -1));
}

TEST_CASE("labels of a batch whose steps are replayed are looked at") {
  for (const attacks::Loss loss : {attacks::Loss::kCrossEntropy, attacks::Loss::kMargin}) {
    const Pair pair;
    const attacks::AttackConfig c = config_of("pgd", loss);
    pair.check(c, 0);
    AttackedBatch wrong = batch_of(pair.config, kImages, 1);
    wrong.y.data<int64_t>()[1] = pair.config.classes;
    CHECK_THROWS_WITH_AS(attacked(pair.on_simt, wrong, c, kSimt), doctest::Contains("expected labels in [0, 5), got 5"),
                         Error);
    pair.check(c, 2);
    CHECK(pair.counts().recorded == 1);
  }
}

TEST_CASE("without graphs an attack has the same bytes") {
  const Pair pair;
  const NoGraphs none;
  for (const char* name : {"pgd", "mifgsm", "mtpgd"})
    for (uint64_t k = 0; k < 2; ++k) pair.check(config_of(name), k);
  CHECK(pair.counts().recorded == 0);
  CHECK(pair.counts().called > 0);
}

TEST_CASE("what an attack keeps is given back with the last copy of its model's function") {
  const auto net = testing::random_vit(tiny_config(), 1);
  net->to(kSimt);
  const AttackedBatch b = batch_of(net->config(), kImages, 0);
  const auto least_reserved = [] {
    drop_unused_memory();
    return arena_stats(kSimt).reserved;
  };
  // Returns what is reserved while the graph's memory cannot be anybody's.
  const auto attack_and_drop = [&] {
    attacks::Logits first = kept_logits(net);
    attacks::Logits copy = first;
    const attacks::AttackConfig c = config_of("pgd", attacks::Loss::kMargin);
    attacked(first, b, c, kSimt);
    first = attacks::Logits();
    attacked(copy, b, c, kSimt);
    CHECK(copy.kept_step()->counts().recorded == 1);
    const int64_t reserved = least_reserved();
    attacked(copy, batch_of(net->config(), kImages - 1, 1), c, kSimt);
    CHECK(copy.kept_step()->counts().recorded == 2);
    CHECK(arena_stats(kSimt).reserved == reserved);  // the second record has the first one's memory
    return reserved;
  };
  attack_and_drop();  // leaves constants that stay
  const int64_t in_use = arena_stats(kSimt).in_use, reserved = attack_and_drop();
  CHECK(arena_stats(kSimt).in_use == in_use);
  CHECK(least_reserved() < reserved);
}

TEST_CASE("a residual net's training step is recorded, running statistics included, and no byte differs") {
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    CAPTURE(static_cast<int>(precision));
    const nn::ResNetConfig config = testing::small_resnet_config();
    const auto fresh = [&] {
      const auto net = testing::random_model(config, 1);
      net->set_requires_grad(true);
      net->set_precision(precision);
      net->to(kSimt);
      return net;
    };
    const auto graphs = fresh(), plain = fresh();
    finetune::Trainer with(graphs, constant_rate()), without(plain, constant_rate());
    const auto both = [&](uint64_t number, int64_t n) {
      CAPTURE(number);
      const AttackedBatch b = batch_of(config, n, number);
      const finetune::StepResult got = with.step(b.x, b.y);
      const NoGraphs none;
      const finetune::StepResult wanted = without.step(b.x, b.y);
      CHECK(got.loss == wanted.loss);
      CHECK(got.gradient_norm == wanted.gradient_norm);
      const auto a = nn::state_of(*graphs), c = nn::state_of(*plain);
      REQUIRE(a.size() == c.size());
      for (size_t i = 0; i < a.size(); ++i) {
        CAPTURE(a[i].first);
        CHECK(same_bytes(a[i].second, c[i].second));
      }
    };
    const Tensor before = graphs->parameter("bn1.running_mean").value().clone();
    for (uint64_t k = 0; k < 3; ++k) both(k, kImages);
    CHECK(!same_bytes(graphs->parameter("bn1.running_mean").value(), before));
    CHECK(with.counts().called == 1);
    CHECK(with.counts().recorded == 1);
    CHECK(with.counts().replayed == 1);
    CHECK(without.counts().recorded == 0);

    // Running statistics that were loaded lie elsewhere.
    for (const auto& net : {graphs, plain}) {
      Var mean = net->parameter("bn1.running_mean");
      mean.set_value(Tensor::full(mean.shape(), 0.25, DType::kF32, kSimt));
    }
    for (uint64_t k = 3; k < 5; ++k) both(k, kImages);
    CHECK(with.counts().recorded == 2);
    both(5, kImages - 1);
    CHECK(with.counts().recorded == 2);
    CHECK(with.counts().called == 3);
  }
}

TEST_CASE("an attack that was recorded sees what training changed in place, running statistics included") {
  const nn::ResNetConfig config = testing::small_resnet_config();
  const auto net = testing::random_model(config, 1);
  net->set_requires_grad(true);
  net->to(kSimt);
  finetune::Trainer trainer(net, constant_rate());
  const attacks::Logits kept = kept_logits(net);
  const attacks::AttackConfig c = config_of("pgd");
  Tensor last;
  for (uint64_t k = 0; k < 3; ++k) {
    const AttackedBatch b = batch_of(config, kImages, 0);
    const attacks::AttackResult got = attacked(kept, b, c, kSimt);
    check_same(got, attacked([&](const Var& x) { return net->forward(x); }, b, c, kSimt));
    CHECK((k == 0 || !same_bytes(got.logits, last)));
    last = got.logits;
    trainer.step(b.x, b.y);
  }
  CHECK(kept.kept_step()->counts().recorded == 1);
  CHECK(trainer.counts().recorded == 1);
}

}  // namespace taut
