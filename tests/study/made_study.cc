#include "tests/study/made_study.h"

#include <algorithm>
#include <filesystem>

#include "attacks/evaluate.h"
#include "study/run/checkpoint.h"
#include "study/run/directory.h"
#include "tensor/random.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

std::string verdicts(int64_t n, double share, Random& random) {
  std::string flags;
  for (int64_t i = 0; i < n; ++i) flags += random.uniform_double() < share ? '1' : '0';
  return flags;
}

std::string both(const std::string& a, const std::string& b) {
  std::string out;
  for (size_t i = 0; i < a.size(); ++i) out += a[i] == '1' && b[i] == '1' ? '1' : '0';
  return out;
}

int64_t ones(const std::string& flags) { return std::count(flags.begin(), flags.end(), '1'); }

uint64_t key_of(const std::string& text) {
  uint64_t key = 14695981039346656037u;
  for (const char c : text) key = (key ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return key;
}

}  // namespace

void make_run(const std::string& folder, const PlanRow& row, const MadeStudy& options) {
  Random random(key_of(row.run_id), Purpose::kTest);
  const double quality = 0.4 + 0.6 * static_cast<double>(key_of(row.strategy + row.dataset) % 100) / 100;
  Json evaluations = Json::array();
  const bool attacked = std::ranges::count(options.unattacked, row.dataset) == 0;
  std::string metrics;
  const auto metric = [&](int64_t step, const std::string& split, const char* name, double value) {
    metrics += Json{{"step", step}, {"split", split}, {"metric", name}, {"value", value}}.dump() + "\n";
  };
  for (const int64_t step : options.steps) {
    const double t =
        options.steps.back() == 0 ? 0 : static_cast<double>(step) / static_cast<double>(options.steps.back());
    const std::string clean = verdicts(options.images, 0.2 + 0.7 * t, random),
                      survives = verdicts(options.images, quality * (1.2 * t + 0.1) * (1.6 - t), random),
                      always = verdicts(options.images, 0.98, random), last = attacked ? both(clean, survives) : clean,
                      best = attacked ? both(last, always) : clean;
    const int64_t n = options.images;
    evaluations.push_back({{"step", step},
                           {"n", n},
                           {"clean_correct", ones(clean)},
                           {"robust_last_correct", ones(last)},
                           {"robust_best_correct", ones(best)},
                           {"mean_loss_clean", 1.5 - t},
                           {"mean_loss_adv", 2.5 - t},
                           {"max_perturbation", 0.03125},
                           {"shifted", {{{"domain", "rotation"}, {"n", n}, {"correct", ones(best)}}}},
                           {"checks",
                            {{{"name", "same images"}, {"value", "held"}, {"pass", true}},
                             {{"name", "budget"}, {"value", "held"}, {"pass", true}}}}});
    if (!attacked) {
      Json& shifted = evaluations.back()["shifted"];
      for (const auto& [domain, correct] : {std::pair{"sketch", 10 + step % 7}, {"clipart", 20 + step % 5}})
        shifted.push_back({{"domain", domain}, {"n", 40}, {"correct", correct}, {"other_domain", true}});
      const auto pooled = static_cast<double>(30 + step % 7 + step % 5);
      metrics += Json{{"step", step},
                      {"split", "out_of_domain"},
                      {"metric", "clean_accuracy"},
                      {"value", pooled / 80},
                      {"n", 80}}
                     .dump() +
                 "\n";
    }
    for (const auto& [name, flags] :
         {std::pair{"clean_accuracy", &clean}, {"robust_last_accuracy", &last}, {"robust_best_accuracy", &best}}) {
      const attacks::Interval i = attacks::binomial_interval(ones(*flags), n);
      metrics += Json{{"step", step},   {"split", "test"},
                      {"metric", name}, {"value", static_cast<double>(ones(*flags)) / static_cast<double>(n)},
                      {"low", i.low},   {"high", i.high},
                      {"n", n}}
                     .dump() +
                 "\n";
    }
    for (const char* name : {"mean_loss_clean", "mean_loss_adv", "max_perturbation", "zero_gradient_share"})
      metric(step, "test", name, 2.5 - t);
    for (const char* name : {"loss", "lr", "gradient_norm"}) metric(step, "train", name, 1 - t / 2);
    write_text(folder + "/samples/" + checkpoint_name(step) + ".json",
               Json{{"step", step}, {"n", n}, {"clean", clean}, {"last", last}, {"best", best}}.dump() + "\n");
  }
  const Json result = {{"run_id", row.run_id},
                       {"dataset", row.dataset},
                       {"strategy", row.strategy},
                       {"variant", row.variant},
                       {"seed", row.config.integer("seed")},
                       {"mode", "fixed"},
                       {"model", "vit_demo"},
                       {"steps", options.steps.back()},
                       {"classes", 5},
                       {"class_names", Json::array()},
                       {"trainable", 1000},
                       {"total", 105064},
                       {"images_trained", 32 * options.steps.back()},
                       {"train_images", 640},
                       {"test_images", options.images},
                       {"train_flops", 1e9},
                       {"eval_flops", 2e9},
                       {"config_sha256", row.config.hash()},
                       {"forced_resume", false},
                       {"notes", Json::array()},
                       {"evaluations", evaluations}};
  write_text(folder + "/metrics.jsonl", metrics);
  write_text(folder + "/config.resolved.toml", row.config.to_toml());
  write_text(folder + "/result.json", result.dump(2) + "\n");
}

Plan make_study(const std::string& folder, const MadeStudy& options) {
  std::string text = "model.name = \"vit_demo\"\ndata.path = \"procedural:easy\"\ntrain.steps = " +
                     std::to_string(std::max<int64_t>(options.steps.back(), 1)) +
                     "\ntrain.warmup = 0\n[study]\ntitle = \"A made study\"\nseeds = [0";
  for (int64_t s = 1; s < options.seeds; ++s) text += ", " + std::to_string(s);
  text += "]\nstrategies = [";
  for (const std::string& s : options.strategies) text += (s == options.strategies[0] ? "\"" : ", \"") + s + "\"";
  text += "]\n";
  for (const std::string& d : options.datasets) {
    text += "[[study.dataset]]\nname = \"" + d + "\"\n";
    if (std::ranges::count(options.unattacked, d) > 0) text += "attack.name = \"none\"\n";
  }
  const Plan plan = make_plan(text, "made.toml", Source::kFile, {});
  std::string lines;
  for (const PlanRow& row : plan.rows) {
    lines += to_json(row).dump() + "\n";
    make_run(folder + "/runs/" + row.run_id, row, options);
  }
  write_text(folder + "/plan.jsonl", lines);
  write_text(folder + "/study.json", to_json(plan).dump(1) + "\n");
  return plan;
}

}  // namespace taut::study
