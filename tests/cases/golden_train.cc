// Golden cases of kinds `train` (losses, rates, norms and parameters over some steps) and `attack`.
#include "attacks/pgd.h"
#include "finetune/train.h"
#include "tests/cases/fill.h"
#include "tests/cases/golden_model.h"

namespace taut::cases {
namespace {

std::string at_step(std::string pattern, int64_t k) {
  const size_t place = pattern.find("{k}");
  if (place != std::string::npos) pattern.replace(place, 3, std::to_string(k));
  return pattern;
}

nn::Schedule schedule_of(const nlohmann::json& attrs) {
  static const std::map<std::string, nn::ScheduleKind> kKinds{{"linear", nn::ScheduleKind::kLinear},
                                                              {"cosine", nn::ScheduleKind::kCosine},
                                                              {"constant", nn::ScheduleKind::kConstant}};
  return {kKinds.at(attrs.at("schedule").get<std::string>()), attrs.at("warmup"), attrs.at("steps")};
}

}  // namespace

void run_golden_train(GoldenCase& c) {
  const nlohmann::json& attrs = c.attrs();
  nn::VitConfig config = hf_config(attrs.at("arch"), attrs.at("classes"));
  config.pooler = true;
  const finetune::Strategy& strategy = finetune::strategy(attrs.at("strategy").get<std::string>());
  finetune::StrategyOptions options;
  options.mode = finetune::Mode::kOfficial;
  const auto vit = std::make_shared<nn::Vit>(config, c.dtype());
  strategy.apply(*vit, options, 0);
  const auto names = finetune::adapterhub_names(config, strategy, options);
  fill_model(*vit, names, true);

  const auto decayed = attrs.at("decayed").get<std::set<std::string>>();
  for (const nn::NameEntry& e : names) {
    if (!vit->parameter(e.path).requires_grad()) continue;
    c.expect(decayed.contains(e.external) == finetune::decays(e.path, options.mode), "{}: expected it {}", e.external,
             decayed.contains(e.external) ? "to decay" : "not to decay");
  }

  finetune::TrainOptions train;
  train.lr = attrs.at("lr");
  train.weight_decay = attrs.at("weight_decay");
  train.clip = attrs.at("clip");
  train.mode = options.mode;
  train.schedule = schedule_of(attrs);
  finetune::Trainer trainer(vit, train);
  const int64_t steps = attrs.at("steps"), batch = attrs.at("batch");
  std::vector<double> losses, rates, norms;
  for (int64_t k = 0; k < steps; ++k) {
    const Tensor images =
        unit(at_step(attrs.at("images"), k), {batch, config.channels, config.image_size, config.image_size});
    const Tensor labels = ints(at_step(attrs.at("labels"), k), {batch}, config.classes);
    const finetune::StepResult result = trainer.step(images.to(c.dtype()), labels);
    losses.push_back(result.loss);
    rates.push_back(result.lr);
    norms.push_back(result.gradient_norm);
  }
  c.compare("losses", losses, {steps}, kGoldenTrain);
  c.compare("lrs", rates, {steps}, kGoldenTrain);
  c.compare("grad_norms", norms, {steps}, kGoldenTrain);
  for (const nn::NameEntry& e : names) {
    const std::string stored = "param_norm/" + e.external;
    if (!c.has(stored)) continue;
    c.compare(stored, {norm_of(part_of(vit->parameter(e.path).value(), e).to_doubles())}, {1}, kGoldenTrain);
  }
}

void run_golden_attack(GoldenCase& c) {
  const nlohmann::json& attrs = c.attrs();
  const nn::VitConfig config = timm_config(attrs.at("config"));
  nn::Vit vit(config, c.dtype());
  fill_model(vit, nn::name_map(config, nn::NameStyle::kTimm), false);
  const nn::FrozenParameters frozen(vit);

  attacks::AttackConfig attack;
  const std::string norm = attrs.at("norm");
  if (norm != "linf" && norm != "l2") return c.unsupported(fmt::format("norm '{}' is not known", norm));
  attack.norm = norm == "l2" ? attacks::Norm::kL2 : attacks::Norm::kLinf;
  attack.eps = attrs.at("eps");
  attack.alpha = attrs.value("alpha", attack.eps);  // FGSM is one step of the whole budget
  attack.steps = attrs.value("steps", int64_t{1});
  attack.random_start = attrs.value("random_start", false);
  const Tensor x = unit(attrs.at("images"), shape_of(attrs.at("shape"))).to(c.dtype());
  Tensor start;
  if (attack.random_start) {
    start = unit(attrs.at("start"), x.shape()).to(c.dtype());
    on_float(c.dtype(), "golden", [&]<class T>() {
      const auto images = x.span<T>();
      size_t i = 0;
      for (T& u : start.span<T>()) {
        const double moved = static_cast<double>(images[i++]) + attack.eps * (2 * static_cast<double>(u) - 1);
        u = static_cast<T>(moved < 0 ? 0 : moved > 1 ? 1 : moved);
      }
    });
  }
  const Tensor labels = c.tensor("labels");
  std::vector<int64_t> ids(static_cast<size_t>(x.size(0)));
  const attacks::AttackResult result =
      attacks::pgd([&](const Var& images) { return vit.forward(images); }, x, labels, attack, {0, 0, ids}, start);

  c.compare("adv", result.adversarial, kGoldenAttack);
  if (c.has("logits")) c.compare("logits", result.logits, kGoldenModel);
  if (c.has("losses")) {
    std::vector<double> sums;
    for (size_t k = 0; k + 1 < result.losses.size(); ++k) {
      sums.push_back(0);
      for (const double loss : result.losses[k]) sums.back() += loss;
    }
    c.compare("losses", sums, {std::ssize(sums)}, kGoldenModel);
  }
  if (c.has("correct")) {
    std::vector<uint8_t> flags;
    for (const auto& iterate : result.correct) flags.insert(flags.end(), iterate.begin(), iterate.end());
    c.compare_exactly("correct", Tensor::from(flags, {std::ssize(result.correct), x.size(0)}));
  }
}

}  // namespace taut::cases
