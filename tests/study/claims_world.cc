#include "tests/study/claims_world.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "study/bootstrap.h"
#include "tensor/random.h"

namespace taut::study {
namespace {

uint64_t key_of(const std::string& text) {
  uint64_t key = 14695981039346656037u;
  for (const char c : text) key = (key ^ static_cast<uint8_t>(c)) * 1099511628211u;
  return key;
}

// An image is right where its difficulty, moved a little by this evaluation, is below the share. The move is an
// exchange of places, which keeps the share true.
std::vector<uint8_t> verdicts(const std::vector<double>& difficulty, double share, Random& random) {
  std::vector<uint8_t> flags;
  for (const double d : difficulty) flags.push_back((random.uniform() < 0.3f ? random.uniform_double() : d) < share);
  return flags;
}

int64_t ones(const std::vector<uint8_t>& flags) { return std::count(flags.begin(), flags.end(), uint8_t{1}); }

std::vector<double> difficulties(int64_t n, uint64_t seed, const std::string& name) {
  Random random(seed ^ key_of(name), Purpose::kTest);
  std::vector<double> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(random.uniform_double());
  return out;
}

int64_t papers_classes(const std::string& dataset) {
  const PaperDataset* paper = paper_dataset(dataset);
  return paper == nullptr ? 345 : paper->classes[0];
}

bool simple(const std::string& dataset) { return dataset.starts_with("cifar"); }

}  // namespace

Plan ClaimsWorld::plan() const {
  std::string text = "model.name = \"vit_base_patch16_224\"\nmodel.weights = \"vit.safetensors\"\n" + settings +
                     "\n[study]\ntitle = \"A made-up world\"\nseeds = [0";
  for (int64_t s = 1; s < seeds; ++s) text += ", " + std::to_string(s);
  text += "]\nstrategies = [";
  for (const std::string& s : strategies) text += (s == strategies[0] ? "\"" : ", \"") + s + "\"";
  text += "]\n";
  for (const std::string& d : datasets)
    text += "[[study.dataset]]\nname = \"" + d + "\"\ndata.path = \"/no/such/" + d + "\"\n" + dataset_settings;
  for (const std::string& d : domain_datasets)
    text += "[[study.dataset]]\nname = \"" + d + "\"\ndata.path = \"/no/such/domains\"\ndata.domain = \"" +
            d.substr(d.find('-') + 1) + "\"\neval.domains = [\"all\"]\n" +
            (is_domainnet(d) ? "attack.name = \"none\"\n" : "");
  return make_plan(text, "world.toml", Source::kFile, {});
}

StudyResults ClaimsWorld::results(const Plan& plan) const {
  StudyResults out;
  out.title = plan.title;
  for (const PlanRow& row : plan.rows) {
    const std::vector<double> own = difficulties(images, seed, row.dataset),
                              other = difficulties(other_images, seed, row.dataset + " others");
    // Not the run id, which changes with every setting there is.
    const std::string name =
        fmt::format("{} {} {} {}", row.dataset, row.strategy, row.variant, row.config.integer("seed"));
    Random random(seed ^ key_of(name), Purpose::kTest, 1);
    const double luck = std::max(0.0, 1 + run_noise * random.normal());
    RunResult run;
    run.run_id = row.run_id;
    run.dataset = row.dataset;
    run.strategy = row.strategy;
    run.variant = row.variant;
    run.seed = static_cast<uint64_t>(row.config.integer("seed"));
    run.state = RunState::kDone;
    run.steps = steps.back();
    run.classes = classes ? classes(row.dataset) : papers_classes(row.dataset);
    for (const int64_t step : steps) {
      const Truth t = truth(row.dataset, row.strategy, step);
      Point p;
      p.step = step;
      p.n = images;
      p.clean_ok = verdicts(own, t.clean, random);
      p.robust_last_ok = verdicts(own, t.robust * luck, random);
      if (row.config.text("attack.name") == "none") p.robust_last_ok = p.clean_ok;  // as `collect` has it
      p.robust_best_ok = p.robust_last_ok;
      p.clean_correct = ones(p.clean_ok);
      p.robust_last_correct = p.robust_best_correct = ones(p.robust_last_ok);
      if (!row.config.texts("eval.domains").empty()) {
        const std::vector<uint8_t> ok = verdicts(other, t.other, random);
        p.shifted.push_back({.domain = "others", .n = other_images, .correct = ones(ok), .other_domain = true});
        p.shifted.back().clean_ok = pack_bits(ok);
      }
      run.points.push_back(std::move(p));
    }
    out.runs.push_back(std::move(run));
  }
  return out;
}

StudyCheck ClaimsWorld::checked(const BootstrapOptions& options) const {
  const Plan made = plan();
  return check_study(made, results(made), options);
}

Truth as_claimed(const std::string& dataset, const std::string& strategy, int64_t step) {
  const bool domains = dataset.starts_with("domainnet") || dataset.starts_with("pacs");
  const std::string best = simple(dataset) ? "bitfit" : "compacter";
  const double peak = domains ? 0.2 : strategy == best ? 0.27 : strategy == "lp" ? 0.1 : 0.16;
  const double ability = strategy == "full" ? 0.07 : strategy == "lp" ? -0.05 : 0;
  // 0 at the start, 1 where accuracy and robustness are near their peaks, 2 at the end.
  const double t = step <= 400 ? std::sqrt(static_cast<double>(step) / 400)
                               : 1 + std::log(static_cast<double>(step) / 400) / std::log(7040.0 / 400);
  Truth out;
  out.clean = t <= 1 ? 0.02 + 0.87 * t : 0.89 + 0.06 * (t - 1);
  out.robust = t <= 1 ? peak * t : peak - (peak - 0.4 * peak) * (t - 1);
  if (domains) {
    out.clean = std::min(0.97, out.clean * (0.9 + ability));
    out.other = out.clean * (0.8 + 0.28 * ability) - (dataset == "domainnet-real" ? 0.05 : 0);
    out.other = std::max(out.other, 0.01);
  }
  return out;
}

const Claim& claim_of(const StudyCheck& check, int number) {
  REQUIRE(check.claims.size() == 4);
  REQUIRE(check.claims[static_cast<size_t>(number) - 1].number == number);
  return check.claims[static_cast<size_t>(number) - 1];
}

const ClaimPart& part_of(const StudyCheck& check, const std::string& part) {
  for (const Claim& claim : check.claims)
    for (const ClaimPart& p : claim.parts)
      if (p.part == part) return p;
  std::string all;
  for (const Claim& claim : check.claims)
    for (const ClaimPart& p : claim.parts) all += p.part + "; ";
  CAPTURE(part);
  CAPTURE(all);
  FAIL("no such part");
  return check.claims[0].parts[0];
}

}  // namespace taut::study
