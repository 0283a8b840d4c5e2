#include "tests/report/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tensor/random.h"

namespace taut::study {
namespace {

constexpr int64_t kSide = 24;

// A blob of the label's size, grey, and the same moved by 8/255 in a chequered pattern that depends on the run.
Sample sample(int64_t index, int64_t classes, uint64_t run_seed) {
  Sample s;
  s.channels = 1;
  s.height = s.width = kSide;
  s.label = index % classes;
  s.clean_prediction = s.label;
  Random random(run_seed, Purpose::kTest, 1, static_cast<uint64_t>(index));
  s.adversarial_prediction = random.uniform() < 0.6 ? (s.label + 1) % classes : s.label;
  for (int64_t y = 0; y < kSide; ++y) {
    for (int64_t x = 0; x < kSide; ++x) {
      const double dx = static_cast<double>(x) - 11.5, dy = static_cast<double>(y) - 11.5;
      const double radius = 4 + 1.5 * static_cast<double>(s.label);
      const float v = dx * dx + dy * dy * (1 + 0.2 * static_cast<double>(s.label)) < radius * radius ? 0.7f : 0.1f;
      s.clean.push_back(v);
      s.adversarial.push_back(std::clamp(v + (random.uniform() < 0.5f ? -8.0f : 8.0f) / 255.0f, 0.0f, 1.0f));
    }
  }
  return s;
}

// Which images are right when `share` of them should be: the easiest ones, with some noise of this evaluation.
std::vector<uint8_t> right(const std::vector<double>& difficulty, double share, Random& noise) {
  std::vector<uint8_t> flags;
  for (double d : difficulty) flags.push_back(d + 0.15 * (noise.uniform_double() - 0.5) < share ? 1 : 0);
  return flags;
}

int64_t ones(const std::vector<uint8_t>& flags) { return std::count(flags.begin(), flags.end(), uint8_t{1}); }

}  // namespace

StudyResults synthetic_results(const SyntheticOptions& options) {
  StudyResults out;
  out.title = "Robustness while fine-tuning: a synthetic study";
  out.mode = "fixed";
  out.attack = "PGD, L-infinity, eps 8/255, alpha 2/255, 15 steps, random start; last iterate judged";
  out.settings = {{"attack.eps", "8/255"}, {"attack.steps", "15"},         {"train.steps", "256"},
                  {"train.batch", "32"},   {"train.lr.ia3", "3e-2", true}, {"seed", "0"}};
  out.commands = {"taut study run study/presets/demo.toml --out build/demo"};
  out.notes = {"Accuracies are those of synthetic runs; no model was trained."};
  const int64_t classes = 5;
  for (size_t d = 0; d < options.datasets.size(); ++d) {
    const bool easy = d % 2 == 1;
    for (size_t s = 0; s < options.strategies.size(); ++s) {
      for (int64_t seed = 0; seed < options.seeds; ++seed) {
        const uint64_t key = options.seed * 1000 + d * 100 + s * 10 + static_cast<uint64_t>(seed);
        Random random(key, Purpose::kTest);
        RunResult run;
        run.dataset = options.datasets[d];
        run.strategy = options.strategies[s];
        run.seed = static_cast<uint64_t>(seed);
        run.run_id = fmt::format("{}-{}-s{}-{:08x}", run.dataset, run.strategy, seed, random.bits());
        run.variant = run.strategy == "lora" ? "r=4" : "default";
        run.state = RunState::kDone;
        run.steps = options.steps.back();
        run.classes = classes;
        run.class_names = {"T-shirt", "pullover", "dress", "coat", "shirt"};
        run.trainable = 1000 + 15000 * static_cast<int64_t>((s * 3) % 7);
        run.total = 104064 + run.trainable;
        run.train_flops = 2.1e11;
        run.eval_flops = 5.6e11;
        run.images_trained = 32 * run.steps;
        run.train_seconds = 3.2;
        run.eval_seconds = 8.1;
        run.recipe = "AdamW 1e-3, decay 0.01, 25 steps of warm-up, then linear to 0";
        run.warm_up = "25 of 256 steps, scaled from the study's 800 steps.";
        const double quality = 1.0 - 0.09 * static_cast<double>(s);
        Random picture(options.seed, Purpose::kTest, 7, d);
        std::vector<double> difficulty;
        for (int64_t i = 0; i < options.images; ++i) difficulty.push_back(picture.uniform_double());
        for (int64_t step : options.steps) {
          const double t = std::log2(static_cast<double>(step) + 1) / 8;
          const double clean = step == 0 ? 0.2 : (easy ? 0.72 : 0.5) + 0.22 * std::min(t, 1.0) * (0.7 + 0.3 * quality);
          const double rise = std::exp(-8 * (t - 0.6) * (t - 0.6));
          const double robust = step == 0 ? 0.03 : (easy ? 0.6 : 0.38) * quality * (easy ? 0.6 + 0.4 * t : rise) + 0.04;
          Point p;
          p.step = step;
          p.n = options.images;
          p.clean_ok = right(difficulty, clean, random);
          p.robust_last_ok = right(difficulty, std::min(robust, clean), random);
          for (size_t i = 0; i < p.robust_last_ok.size(); ++i) p.robust_last_ok[i] &= p.clean_ok[i];
          p.robust_best_ok = p.robust_last_ok;
          for (auto& flag : p.robust_best_ok) flag &= random.uniform() < 0.99f ? 1 : 0;
          p.clean_correct = ones(p.clean_ok);
          p.robust_last_correct = ones(p.robust_last_ok);
          p.robust_best_correct = ones(p.robust_best_ok);
          p.mean_loss_clean = 1.5 - clean;
          p.mean_loss_adv = 3 - robust;
          for (const auto& [domain, cost] : {std::pair{"rotated", 0.85}, {"textured", 0.6}}) {
            const double noisy = cost * static_cast<double>(p.clean_correct) + 12 * random.uniform();
            p.shifted.push_back({domain, p.n, std::min(static_cast<int64_t>(noisy), p.n)});
          }
          run.points.push_back(std::move(p));
        }
        run.checks = {{"budget", "max 8.000/255 of 8/255", true},
                      {"range", "[0, 1]", true},
                      {"re-judge", "0 of 3500 verdicts differ", true}};
        for (int64_t i = 0; i < 4; ++i) run.samples.push_back(sample(i, classes, key));
        out.runs.push_back(std::move(run));
      }
    }
  }
  return out;
}

}  // namespace taut::study
