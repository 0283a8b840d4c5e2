// What a run costs, counted by hand; and the preset of the whole study.
#include "study/run/cost.h"

#include <set>

#include "data/import/known.h"
#include "study/presets.h"
#include "study/run/model.h"
#include "study/run/run.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

Plan paper(const std::vector<std::string>& arguments = {}) {
  return make_plan(preset("paper").text, "paper", Source::kPreset, arguments);
}

TEST_CASE("the whole study: 231 runs, 7 strategies x 11 training sets x 3 seeds, without any data") {
  const Plan plan = paper();
  REQUIRE(plan.rows.size() == 231);
  std::set<std::string> ids, strategies, datasets;
  std::map<std::string, int> of_cell;
  for (const PlanRow& row : plan.rows) {
    ids.insert(row.run_id);
    strategies.insert(row.strategy);
    datasets.insert(row.dataset);
    ++of_cell[row.dataset + " " + row.strategy];
    const Config& c = row.config;
    CHECK(c.text("model.name") == "vit_base_patch16_224");
    CHECK(c.integer("train.epochs") == 20);
    CHECK(c.integer("train.batch") == 128);
    CHECK(c.integer("train.warmup") == (row.strategy == "full" ? 0 : 800));
    CHECK(c.text("train.schedule") == (row.strategy == "full" ? "linear" : "cosine"));
    CHECK(c.number("train.lr") == (row.strategy == "full" ? 2e-5 : row.strategy == "lora" ? 5e-4 : 5e-3));
    CHECK(c.source("train.lr") == Source::kHint);
    CHECK(c.text("eval.schedule") == "official-code");
    CHECK(c.number("attack.eps") == 1.0 / 255);
    CHECK(c.number("attack.alpha") == 1.0 / 1020);
    CHECK(c.integer("attack.steps") == 15);
    CHECK(c.text("study.mode") == "fixed");
    const bool shifted = row.dataset.starts_with("domainnet-");
    CHECK(c.text("attack.name") == (shifted ? "none" : "pgd"));
    CHECK(c.text("data.domain") == (shifted ? row.dataset.substr(10) : ""));
    CHECK(c.texts("eval.domains").empty() == !shifted);
  }
  CHECK(ids.size() == 231);
  CHECK(strategies.size() == 7);
  CHECK(datasets.size() == 11);
  for (const auto& [cell, runs] : of_cell) CHECK(runs == 3);
}

TEST_CASE("mode official is another 231 runs, and its Caltech-256 has 258 outputs") {
  const Plan fixed = paper(), official = paper({"study.mode=official"});
  REQUIRE(official.rows.size() == 231);
  for (size_t i = 0; i < 231; ++i) {
    CHECK(official.rows[i].run_id != fixed.rows[i].run_id);
    CHECK(official.rows[i].config.integer("model.classes") == (official.rows[i].dataset == "caltech256" ? 258 : 0));
    CHECK(fixed.rows[i].config.integer("model.classes") == 0);
  }
}

// What the comments of the preset say of its evaluations.
TEST_CASE("the whole study's evaluations, by the code's schedule and by the text's") {
  const struct {
    const char* schedule;
    int64_t attacked, out_of_domain;
  } cases[] = {{"official-code", 1659, 2226}, {"paper-text", 1932, 2520}};
  for (const auto& c : cases) {
    CAPTURE(c.schedule);
    int64_t attacked = 0, out_of_domain = 0;
    for (const PlanRow& row : paper({std::string("eval.schedule=") + c.schedule}).rows) {
      const auto sizes = known_sizes(row.config);
      REQUIRE(sizes);
      (row.config.text("attack.name") == "pgd" ? attacked : out_of_domain) += cost_of(row, *sizes).evaluations;
    }
    CHECK(attacked == c.attacked);
    CHECK(out_of_domain == c.out_of_domain);
    for (const std::string& number : {fmt::format("{},{:03}", attacked / 1000, attacked % 1000),
                                      fmt::format("{},{:03}", out_of_domain / 1000, out_of_domain % 1000)})
      CHECK(preset("paper").text.find(number) != std::string::npos);
  }
}

TEST_CASE("CIFAR-10 in the protocol: 45,000 + 5,000 and 10,000 images, 7,040 updates, 17 evaluations") {
  const Plan plan = paper();
  const auto row_of = [&](const std::string& strategy) {
    return *std::ranges::find_if(plan.rows, [&](const PlanRow& r) { return r.strategy == strategy; });
  };
  const auto sizes = known_sizes(plan.rows[0].config);
  REQUIRE(sizes);
  CHECK(sizes->train == 45'000);
  CHECK(sizes->validation == 5'000);
  CHECK(sizes->test == 10'000);
  CHECK(sizes->train_sample == 45'000);
  CHECK(sizes->elsewhere == 0);
  const RunCost lora = cost_of(row_of("lora"), *sizes);
  CHECK(lora.updates == 7'040);
  CHECK(lora.evaluations == 17);
  CHECK(lora.images == 20 * 45'000 + 17 * (10'000 + 45'000));
  CHECK(lora.training == 2.0 * 20 * 45'000);
  CHECK(lora.attacking == 17.0 * 10'000 * 15 * 2);
  // The last forward of the attack, the clean one, the judge's two; and the training images.
  CHECK(lora.judging == 17.0 * (10'000 * 4 + 45'000));
  CHECK(cost_of(row_of("full"), *sizes).training == 3.0 * 20 * 45'000);
  // The features of the training images are computed once.
  const RunCost probe = cost_of(row_of("lp"), *sizes);
  CHECK(probe.training == 45'000);
  CHECK(probe.judging == 17.0 * 10'000 * 4);
  CHECK(probe.images == lora.images);
  PlanRow official = row_of("lora");
  official.config.set("study.mode", "official", Source::kCommandLine);
  CHECK(cost_of(official, *sizes).passes() == lora.passes() + 20 * 5'000);
}

TEST_CASE("DomainNet: the domain of training, and the test images of the other five") {
  const Plan plan = paper();
  const auto& row = *std::ranges::find_if(
      plan.rows, [](const PlanRow& r) { return r.dataset == "domainnet-real" && r.strategy == "ia3"; });
  const auto sizes = known_sizes(row.config);
  REQUIRE(sizes);
  CHECK(sizes->train + sizes->validation == 120'906);
  CHECK(sizes->test == 52'041);
  CHECK(sizes->elsewhere == 176'743 - 52'041);
  const RunCost cost = cost_of(row, *sizes);
  CHECK(cost.attacking == 0);
  CHECK(cost.evaluations == 19);
  int64_t train = 0, test = 0;
  for (const KnownDomain& d : known_dataset("domainnet").domains) train += d.train, test += d.test;
  CHECK(train == known_dataset("domainnet").train);
  CHECK(test == known_dataset("domainnet").test);
}

TEST_CASE("limits, shifts and shares count as they run; what nobody knows is nothing") {
  const PlanRow tiny = tiny_run();
  const RunData data = open_run_data(tiny.config, preprocess_of(tiny.config, *net_config(tiny.config, 0)));
  const DataSizes sizes = sizes_of(data);
  CHECK(sizes.train == 56);
  CHECK(sizes.validation == 8);
  CHECK(sizes.test == 12);
  CHECK(sizes.shifted == 12);
  CHECK(sizes.train_sample == 4);
  const RunCost cost = cost_of(tiny, sizes);
  CHECK(cost.evaluations == 3);
  CHECK(cost.training == 2 * 12 * 4);
  CHECK(cost.passes() == run_cost(tiny));  // nothing is computed once, nothing is validated
  CHECK(cost.passes() == 2 * 12 * 4 + 3 * (12 * (2 * 2 + 4) + 12 + 4));
  CHECK(!known_sizes(tiny.config));

  Config cifar;
  for (const char* setting : {"data.path=/somewhere/cifar10", "data.train_limit=1000", "data.validation=100",
                              "eval.n=50", "eval.train_n=20", "eval.shifts=rotation,texture"})
    cifar.set_argument(setting, Source::kFile);
  const auto known = known_sizes(cifar);
  REQUIRE(known);
  CHECK(known->train == 900);
  CHECK(known->test == 50);
  CHECK(known->shifted == 100);
  CHECK(known->train_sample == 20);
  cifar.set("eval.per_class", "3", Source::kFile);
  CHECK(known_sizes(cifar)->test == 30);
  cifar.set("data.classes", "1, 2", Source::kFile);
  CHECK(!known_sizes(cifar));
}

TEST_CASE("taut study plan counts without measuring, on standard error; its rows are flat") {
  const Outcome o = taut({"study", "plan", "paper", "--no-measure", "-o", "json"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const auto rows = nlohmann::json::parse(o.out);
  REQUIRE(rows.size() == 231);
  double passes = 0;
  for (const auto& row : rows) {
    for (const auto& [key, value] : row.items()) CHECK(value.is_primitive());
    CHECK(row.at("images").get<double>() > 0);
    CHECK(row.at("h100_bf16_seconds").get<double>() < row.at("h100_f32_seconds").get<double>());
    CHECK(!row.contains("estimated_seconds"));
    passes += row.at("passes").get<double>();
  }
  CHECK(o.err.find("231 runs") != std::string::npos);
  CHECK(o.err.find(fmt::format("{:.4g} passes", passes)) != std::string::npos);
  CHECK(o.err.find("not measured") != std::string::npos);
  CHECK(o.err.find("assumed") != std::string::npos);

  const std::string tiny = "study/presets/smoke.toml";
  const std::string file = std::string(TAUT_SOURCE_DIR) + "/" + tiny;
  const Outcome faster =
                    taut({"study", "plan", file, "--no-measure", "--gpu", "h100", "--gpu-fraction", "1", "-o", "json"}),
                slower = taut(
                    {"study", "plan", file, "--no-measure", "--gpu", "h100", "--gpu-fraction", "0.5", "-o", "json"});
  REQUIRE(faster.code == 0);
  REQUIRE(slower.code == 0);
  const char* const field = "h100_f32_seconds";
  CHECK(nlohmann::json::parse(slower.out)[0].at(field).get<double>() ==
        doctest::Approx(2 * nlohmann::json::parse(faster.out)[0].at(field).get<double>()));
  CHECK(taut({"study", "plan", file, "--no-measure", "--gpu", "none"}).err.find("assumed") == std::string::npos);
  CHECK(taut({"study", "plan", file, "--no-measure", "--gpu", "h10"}).code == 2);
  CHECK(taut({"study", "plan", file, "--no-measure", "--gpu-fraction", "2"}).code == 2);
#ifndef TAUT_DEBUG_BUILD
  const Outcome measured = taut({"study", "plan", file, "-o", "json", "-t", "1"});
  CAPTURE(measured.err);
  REQUIRE(measured.code == 0);
  for (const auto& row : nlohmann::json::parse(measured.out)) CHECK(row.at("estimated_seconds").get<double>() > 0);
  CHECK(measured.err.find("this machine, measured") != std::string::npos);
#endif
}

TEST_CASE("a plan over data of which nobody knows the number of images says so and counts the rest") {
  const TempFolder folder;
  write_text(folder / "s.toml",
             "model.name = \"vit_demo\"\ntrain.steps = 10\n[study]\nstrategies = [\"lp\"]\n[[study.dataset]]\nname = "
             "\"known\"\ndata.path = \"procedural:easy\"\n[[study.dataset]]\nname = \"far\"\ndata.path = "
             "\"/nowhere/at/all\"\n");
  const Outcome o = taut({"study", "plan", folder / "s.toml", "--no-measure", "-o", "json"});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  const auto rows = nlohmann::json::parse(o.out);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].at("passes").get<double>() > 0);
  CHECK(rows[1].at("passes").is_null());
  CHECK(o.err.find("not counted: far") != std::string::npos);
  CHECK(o.err.find("/nowhere/at/all") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
