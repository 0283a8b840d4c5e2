// Whole steps in bf16 and tf32: training a small ViT, and an attack. Gradients on the SIMT
// device, on tensor cores, lie as near to f32's as the CPU's, which only stores and rounds so.
#include <doctest/doctest.h>

#include "attacks/norm_ball.h"
#include "attacks/pgd.h"
#include "finetune/train.h"
#include "tests/small_steps.h"

namespace taut {

using testing::kSimt;
using testing::prepared;
using testing::random_images;
using testing::random_labels;
using testing::small_config;

TEST_CASE("in bf16 and tf32 losses and gradients of every strategy are as near to f32's as the policy wants") {
  std::vector<std::string> names = finetune::strategy_names();
  std::erase(names, "bn");  // a ViT has none
  for (const Precision precision : {Precision::kBF16, Precision::kTF32}) {
    for (const std::string& name : names) {
      const auto measured = [&](Precision in, Device device) {
        return testing::measure(*prepared(name, in, device), device);
      };
      testing::check_near(precision, name, measured(Precision::kF32, {}), measured(precision, {}),
                          measured(precision, kSimt));
    }
  }
}

TEST_CASE("what trains in bf16 is a master copy in f32, what is frozen is stored in bf16, and steps are taken") {
  for (const Device device : {Device{}, kSimt}) {
    const auto vit = prepared("lora", Precision::kBF16, device);
    CHECK(vit->parameter("blocks.0.attn.proj.weight").dtype() == DType::kBF16);
    CHECK(vit->parameter("blocks.0.attn.qkv.query.lora_A").dtype() == DType::kF32);
    CHECK(vit->parameter("head.weight").dtype() == DType::kF32);
    const Tensor before = vit->parameter("blocks.0.attn.qkv.query.lora_A").value().clone();
    finetune::Trainer trainer(vit, {});
    const Tensor x = random_images(small_config(), 3, 5).to(device);
    const Tensor y = random_labels(3, small_config().classes, 6).to(device);
    double first = 0, last = 0;
    for (int step = 0; step < 4; ++step) {
      last = trainer.step(x, y).loss;
      if (step == 0) first = last;
    }
    CHECK(last < first);
    CHECK_FALSE(same_bytes(before, vit->parameter("blocks.0.attn.qkv.query.lora_A").value()));
  }
}

TEST_CASE("an attack on a model in bf16 keeps its ball and raises the loss as on f32") {
  const Tensor x = random_images(small_config(), 3, 5), y = random_labels(3, small_config().classes, 6);
  attacks::AttackConfig config;
  config.eps = 0.03;
  config.alpha = 0.01;
  config.steps = 3;
  const attacks::AttackSeed seed{7, 0, {0, 1, 2}};
  const auto attacked = [&](Precision precision, Device device) {
    const auto vit = prepared("lora", precision, device);
    vit->set_requires_grad(false);
    return attacks::pgd([vit](const Var& images) { return vit->forward(images); }, x.to(device), y.to(device), config,
                        seed);
  };
  const attacks::AttackResult f32 = attacked(Precision::kF32, {}), cpu = attacked(Precision::kBF16, {}),
                              simt = attacked(Precision::kBF16, kSimt);
  for (const double d : attacks::distances(x, simt.adversarial.to(Device{}), attacks::Norm::kLinf))
    CHECK(d <= config.eps + 1e-6);
  REQUIRE(simt.losses.size() == f32.losses.size());
  for (size_t k = 0; k < f32.losses.size(); ++k)
    CHECK(cases::relative_error(simt.losses[k], f32.losses[k]) <= cases::bf16_budget(cpu.losses[k], f32.losses[k]));
}

TEST_CASE("folded into the base, an update is added in f32 and rounded once") {
  const auto vit = prepared("lora", Precision::kBF16, {});
  for (const nn::NamedParameter& p : vit->parameters())
    if (p.path.ends_with("lora_B")) {
      Tensor b = p.var.value();
      b.fill(0.01);
    }
  const auto merged = finetune::merge(*vit);
  CHECK(merged->parameter("blocks.0.attn.qkv.weight").dtype() == DType::kBF16);
  const Var x(random_images(small_config(), 3, 5));
  const std::vector<double> apart = vit->forward(x).value().to_doubles(), one = merged->forward(x).value().to_doubles();
  CHECK(apart != one);
  CHECK(cases::relative_error(one, apart) <= 0x1p-5);  // what an evaluation allows (study/run/evaluate.cc)
}

}  // namespace taut
