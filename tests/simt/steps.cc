// Whole steps on the SIMT device: training a small ViT under every strategy, and an attack. In f32 the bytes are the
// CPU's.
#include <doctest/doctest.h>

#include "attacks/pgd.h"
#include "finetune/train.h"
#include "tests/small_steps.h"

namespace taut {

using testing::kSimt;
using testing::prepared;
using testing::random_images;
using testing::random_labels;
using testing::random_vit;
using testing::small_config;

TEST_CASE("two training steps under every strategy end with the CPU's bytes") {
  const Tensor x = random_images(small_config(), 3, 5), y = random_labels(3, small_config().classes, 6);
  std::vector<std::string> names = finetune::strategy_names();
  std::erase(names, "bn");  // a ViT has none
  for (const std::string& name : names) {
    CAPTURE(name);
    const auto cpu = prepared(name), simt = prepared(name);
    simt->to(kSimt);
    finetune::Trainer on_cpu(cpu, {}), on_simt(simt, {});
    for (int step = 0; step < 2; ++step) {
      const finetune::StepResult a = on_cpu.step(x, y), b = on_simt.step(x.to(kSimt), y.to(kSimt));
      CHECK(a.loss == b.loss);
      CHECK(a.gradient_norm == b.gradient_norm);
    }
    const auto wanted = cpu->parameters(), got = simt->parameters();
    REQUIRE(wanted.size() == got.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(wanted[i].path);
      CHECK(got[i].var.value().device() == kSimt);
      CHECK(same_bytes(wanted[i].var.value(), got[i].var.value()));
    }
  }
}

TEST_CASE("an attack in either norm ends with the CPU's bytes") {
  const auto cpu = random_vit(small_config(), 1), simt = random_vit(small_config(), 1);
  simt->to(kSimt);
  const Tensor x = random_images(small_config(), 3, 5), y = random_labels(3, small_config().classes, 6);
  for (const attacks::Norm norm : {attacks::Norm::kLinf, attacks::Norm::kL2}) {
    attacks::AttackConfig config;
    config.norm = norm;
    config.eps = norm == attacks::Norm::kLinf ? 0.03 : 0.5;
    config.alpha = config.eps / 3;
    config.steps = 3;
    const attacks::AttackSeed seed{7, 0, {0, 1, 2}};
    const auto logits = [](const std::shared_ptr<nn::Vit>& vit) {
      return [vit](const Var& images) { return vit->forward(images); };
    };
    const attacks::AttackResult a = attacks::pgd(logits(cpu), x, y, config, seed);
    const attacks::AttackResult b = attacks::pgd(logits(simt), x.to(kSimt), y.to(kSimt), config, seed);
    CHECK(same_bytes(a.adversarial, b.adversarial));
    CHECK(a.losses == b.losses);
    CHECK(a.zero_pixels == b.zero_pixels);
  }
}

}  // namespace taut
