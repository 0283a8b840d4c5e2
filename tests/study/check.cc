// `taut study check`: every verdict of every claim on worlds whose truth is known, and what a study cannot speak about.
#include "study/check/check.h"

#include <cmath>
#include <set>

#include "study/check/ranks.h"
#include "study/presets.h"
#include "tests/study/claims_world.h"
#include "tests/study/made_study.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

using V = Verdict;

TEST_CASE("the paper's table gives the abstract's percentages, but for Caltech-256") {
  const auto percent = [](const char* dataset, const char* strategy) {
    return paper_percent(*paper_dataset(dataset), strategy);
  };
  CHECK(percent("cifar10", "bitfit").value == doctest::Approx(81.5).epsilon(0.001));
  CHECK(percent("cifar100", "bitfit").value == doctest::Approx(75.0).epsilon(0.001));
  CHECK(percent("caltech256", "compacter").value == doctest::Approx(24.0).epsilon(0.002));
  CHECK(percent("cub200", "compacter").value == doctest::Approx(34.6).epsilon(0.001));
  CHECK(percent("stanford_dogs", "compacter").value == doctest::Approx(57.5).epsilon(0.001));
  for (const PaperDataset& d : paper_datasets()) {
    for (const std::string_view s : kPaperStrategies) {
      const PaperPercent p = paper_percent(d, s);
      CHECK(p.low < p.value);
      CHECK(p.value < p.high);
    }
  }
  // 0.205 and 0.215 over the means with the six others 0.005 up and down.
  CHECK(percent("cifar10", "bitfit").low == doctest::Approx(100 * (0.205 / ((0.205 + 0.63) / 7) - 1)));
  CHECK(percent("cifar10", "bitfit").high == doctest::Approx(100 * (0.215 / ((0.215 + 0.57) / 7) - 1)));
}

TEST_CASE("names of the paper's data sets however they are spelt, and no others") {
  for (const char* name : {"cifar10", "CIFAR-10", "cifar_10"}) CHECK(paper_dataset(name)->name == "cifar10");
  CHECK(paper_dataset("CUB-200-2011")->name == "cub200");
  CHECK(paper_dataset("Stanford Dogs")->name == "stanford_dogs");
  CHECK(paper_dataset("caltech-256")->name == "caltech256");
  for (const char* name : {"caltech101", "grocery81", "cifar10-c", "easy", ""}) CHECK(paper_dataset(name) == nullptr);
  CHECK(stands_for("caltech-101") == "caltech256");
  CHECK(stands_for("grocery81") == "cub200");
  CHECK(stands_for("cifar10").empty());
}

TEST_CASE("rank correlations have the values of scipy 1.11, ties included") {
  const std::vector<double> x = {1, 2, 3, 4, 5}, y = {5, 6, 7, 8, 7};
  CHECK(spearman(x, y) == doctest::Approx(0.8207826816681233).epsilon(1e-12));
  CHECK(kendall(x, y) == doctest::Approx(0.7378647873726218).epsilon(1e-12));
  CHECK(kendall({12, 2, 1, 12, 2}, {1, 4, 7, 1, 0}) == doctest::Approx(-0.47140452079103173).epsilon(1e-12));
  CHECK(spearman(x, {3, 3, 3, 3, 3}) == 0);
  CHECK(kendall(x, {3, 3, 3, 3, 3}) == 0);
  CHECK(order_chance({1, 2, 3}, {1, 2, 3}) == doctest::Approx(2.0 / 6));
  CHECK(order_chance({1, 2, 3, 4, 5, 6, 7}, {1, 2, 3, 4, 5, 6, 7}) == doctest::Approx(2.0 / 5040));
  CHECK(order_chance({1, 2, 3}, {1, 1, 1}) == 1);
  CHECK(slope_through_origin({1, 2}, {3, 6}) == doctest::Approx(3));
  CHECK_THROWS_AS(spearman({}, {}), Error);
  CHECK_THROWS_AS(kendall({1}, {1, 2}), Error);
}

TEST_CASE("a world as the paper claims it confirms all four claims, and its sizes where they are the paper's") {
  ClaimsWorld world;
  world.truth = as_claimed;
  world.other_images = 8000;  // sizes are decided by narrow intervals, whatever is drawn
  const StudyCheck check = world.checked();
  for (const Claim& claim : check.claims) {
    CAPTURE(claim.number);
    for (const ClaimPart& p : claim.parts) {
      CAPTURE(p.part);
      CAPTURE(p.why);
      if (p.counts) CHECK(p.verdict == V::kConfirmed);
      REQUIRE(p.value.has_value());
      CHECK(*p.low <= *p.value);
      CHECK(*p.value <= *p.high);
    }
    CHECK(claim.verdict() == V::kConfirmed);
    CHECK(claim.speaks() == "yes");
  }
  CHECK(!check.refuted());
  CHECK(check.departures().empty());
  CHECK(part_of(check, "caltech256: peak near 25 %").verdict == V::kRefuted);  // 0.16 on average
  CHECK(part_of(check, "caltech256: peak around step 400").verdict == V::kConfirmed);
  CHECK(part_of(check, "caltech256: declines to 10 %").verdict == V::kConfirmed);
  CHECK(part_of(check, "caltech256: 90 % within 1,000 steps").verdict == V::kConfirmed);
  CHECK(part_of(check, "cub200: size").verdict == V::kRefuted);  // 65 % against 15 to 56 %
  CHECK(part_of(check, "domainnet: size of full").verdict == V::kConfirmed);
  CHECK(part_of(check, "domainnet: lower trained on real").verdict == V::kConfirmed);
  CHECK(!part_of(check, "stanford_dogs: best").counts);
  CHECK(part_of(check, "stanford_dogs: best").verdict == V::kConfirmed);
}

TEST_CASE("the opposite world refutes all four") {
  ClaimsWorld world;
  world.truth = [](const std::string& dataset, const std::string& strategy, int64_t step) {
    Truth t = as_claimed(dataset, strategy == "bitfit" || strategy == "compacter" ? "lp" : strategy, step);
    const double course = std::log(1.0 + static_cast<double>(step)) / std::log(7041.0);
    t.robust = t.clean * 0.3 * course * (strategy == "bitfit" || strategy == "compacter" ? 0.4 : 1);
    if (t.other > 0) t.other = (strategy == "full" ? 0.4 : strategy == "lp" ? 0.8 : 0.6) * (1.2 - t.clean);
    return t;
  };
  const StudyCheck check = world.checked();
  for (const Claim& claim : check.claims) {
    CAPTURE(claim.number);
    CHECK(claim.verdict() == V::kRefuted);
  }
  CHECK(check.refuted());
  CHECK(part_of(check, "cifar10: rise").verdict == V::kConfirmed);
  CHECK(part_of(check, "cifar10: fall").verdict == V::kRefuted);
  CHECK(*part_of(check, "cifar10: fall").high < kOnePoint);
  const ClaimPart& best = part_of(check, "cifar10: best");
  CHECK(best.verdict == V::kRefuted);
  CHECK(*best.high < 0);
  CHECK(best.level == doctest::Approx(1 - 0.05 / 6));
  for (const char* part : {"domainnet-real: tracks", "domainnet-real: full highest", "domainnet-real: lp lowest"})
    CHECK(part_of(check, part).verdict == V::kRefuted);
  CHECK(part_of(check, "domainnet-sketch: no trade-off").verdict == V::kRefuted);
}

TEST_CASE("the world of the claims seen through thirty images leaves them undecided") {
  ClaimsWorld world;
  world.truth = as_claimed;
  world.images = world.other_images = 30;
  const StudyCheck check = world.checked();
  for (const int number : {2, 3, 4}) {
    CAPTURE(number);
    CHECK(claim_of(check, number).verdict() == V::kUndecided);
    CHECK(claim_of(check, number).speaks() == "yes");
  }
  CHECK(part_of(check, "cifar10: best").verdict == V::kUndecided);
  CHECK(*part_of(check, "cifar10: best").low <= 0);
}

TEST_CASE("a course that stays flat refutes the fall in a large study and is open in a small one") {
  ClaimsWorld world;
  world.datasets = {"cifar10"};
  world.domain_datasets.clear();
  world.truth = [](const std::string&, const std::string&, int64_t step) {
    return Truth{.clean = 0.8, .robust = step == 0 ? 0 : 0.2, .other = 0};
  };
  world.images = 20000;
  CHECK(part_of(world.checked(), "cifar10: fall").verdict == V::kRefuted);
  CHECK(part_of(world.checked(), "cifar10: rise").verdict == V::kConfirmed);
  world.images = 150;
  world.strategies = {"lora", "lp"};
  CHECK(part_of(world.checked(), "cifar10: fall").verdict == V::kUndecided);
}

TEST_CASE("robustness that only falls refutes the rise, unless the study did not look at the start") {
  ClaimsWorld world;
  world.datasets = {"cifar10"};
  world.domain_datasets.clear();
  world.truth = [](const std::string&, const std::string&, int64_t step) {
    return Truth{.clean = 0.8, .robust = 0.6 / (1 + static_cast<double>(step) / 100), .other = 0};
  };
  CHECK(part_of(world.checked(), "cifar10: rise").verdict == V::kRefuted);
  world.steps = {50, 150, 400, 1000};
  const StudyCheck check = world.checked();
  CHECK(part_of(check, "cifar10: rise").verdict == V::kUndecided);
  CHECK(part_of(check, "cifar10: rise").limit.find("after the first update") != std::string::npos);
  world.steps = {0, 400};
  const ClaimPart part = part_of(world.checked(), "cifar10: rises, then falls");
  CHECK(!part.possible);
  CHECK(part.verdict == V::kUndecided);
}

TEST_CASE("a course that climbs to its end refutes the fall, unless it ends before the paper's have fallen") {
  ClaimsWorld world;
  world.datasets = {"cifar10"};
  world.domain_datasets.clear();
  world.truth = [](const std::string&, const std::string&, int64_t step) {
    return Truth{.clean = 0.8, .robust = 0.3 * std::log(1 + static_cast<double>(step)) / 10, .other = 0};
  };
  CHECK(part_of(world.checked(), "cifar10: fall").verdict == V::kRefuted);
  world.steps = {0, 50, 150, 400};
  world.settings = "train.steps = 400\n";
  const StudyCheck check = world.checked();
  CHECK(part_of(check, "cifar10: fall").verdict == V::kUndecided);
  CHECK(part_of(check, "cifar10: fall").limit.find("ends after 400 updates") != std::string::npos);
  CHECK(claim_of(check, 1).speaks() == "in part");
}

TEST_CASE("the paper's own course on CUB-200, 860 updates, is long enough to refute the fall") {
  ClaimsWorld world;
  world.datasets = {"cub200"};
  world.domain_datasets.clear();
  world.steps = {0, 50, 150, 400, 860};
  world.truth = [](const std::string&, const std::string&, int64_t step) {
    return Truth{.clean = 0.8, .robust = 0.3 * std::log(1 + static_cast<double>(step)) / 10, .other = 0};
  };
  CHECK(part_of(world.checked(), "cub200: fall").verdict == V::kRefuted);
  world.settings = "train.steps = 860\n";
  CHECK(part_of(world.checked(), "cub200: fall").verdict == V::kUndecided);
}

TEST_CASE("accuracy that nothing attacked decides nothing about robustness") {
  ClaimsWorld world;
  world.datasets.clear();
  world.truth = as_claimed;
  const StudyCheck check = world.checked();
  CHECK(claim_of(check, 1).verdict() == V::kUndecided);
  CHECK(claim_of(check, 1).speaks() == "no");
  CHECK(claim_of(check, 4).verdict() == V::kConfirmed);
  CHECK(part_of(check, "domainnet: size of full").value.has_value());
  CHECK(area_rows(check).size() == 35);  // the paper's alone
  for (const Row& row : area_rows(check)) CHECK(row["area"].is_null());
}

TEST_CASE("the preset paper is the paper's protocol, in both modes, and speaks about all four claims") {
  for (const char* mode : {"fixed", "official"}) {
    const Plan plan = make_plan(preset("paper").text, "paper", Source::kPreset,
                                {"data.root=/no/such", std::string("study.mode=") + mode});
    for (const PlanRow& row : plan.rows) {
      CAPTURE(row.run_id);
      CHECK(departures(row).empty());
    }
    StudyResults results;
    const StudyCheck check = check_study(plan, results);
    for (const Claim& claim : check.claims) {
      CHECK(claim.speaks() == "yes");
      for (const ClaimPart& p : claim.parts)
        if (claim.number == 1) CHECK(!p.part.starts_with("domainnet"));
    }
  }
}

TEST_CASE("whatever a run does otherwise than the preset paper is named") {
  const auto departures_of = [](const std::vector<std::string>& settings) {
    std::vector<std::string> all = settings;
    all.emplace_back("data.root=/no/such");
    std::set<std::string> out;
    for (const PlanRow& row : make_plan(preset("paper").text, "paper", Source::kPreset, all).rows)
      for (const Departure& d : departures(row))
        out.insert(d.text + (d.strategy.empty() ? "" : " (" + d.strategy + ")"));
    return out;
  };
  using Set = std::set<std::string>;
  CHECK(departures_of({"train.clip=0"}) == Set{"train.clip 0 instead of 1"});
  CHECK(departures_of({"data.filter=bicubic"}) == Set{"data.filter bicubic instead of bilinear"});
  CHECK(departures_of({"data.mean=0,0,0"}) == Set{"data.mean 0, 0, 0 instead of 0.5, 0.5, 0.5"});
  CHECK(departures_of({"data.mean=0.5,0.50,0.5"}).empty());
  CHECK(departures_of({"data.validation=0.5"}) == Set{"data.validation 0.5 instead of 0.1"});
  CHECK(departures_of({"peft.rank=1"}) == Set{"peft.rank 1 instead of 8 (lora)"});
  CHECK(departures_of({"peft.phm_n=2"}) == Set{"peft.phm_n 2 instead of 4 (compacter)"});
  CHECK(departures_of({"eval.schedule=list", "eval.points=0,5,10"}) ==
        Set{"eval.schedule list instead of official-code"});
  CHECK(departures_of({"eval.schedule=paper-text"}).empty());
  CHECK(departures_of({"train.lr=5e-3"}) ==
        Set{"train.lr 0.005 instead of 2e-05 (full)", "train.lr 0.005 instead of 0.0005 (lora)"});
  CHECK(departures_of({"attack.steps=7"}) == Set{"attack.steps 7 instead of 15"});
  CHECK(departures_of({"model.weights="}).contains("random weights instead of pre-trained ones"));
  CHECK(departures_of({"threads=1", "model.precision=bf16", "train.keep=1"}).empty());
}

// How often a verdict is wrong where it is hardest: the truth on the bound itself.
TEST_CASE("verdicts at the bound are wrong about as rarely as their level says") {
  constexpr int kWorlds = 60;
  int confirmed_fall = 0, refuted_best = 0, confirmed_best = 0;
  for (int w = 0; w < kWorlds; ++w) {
    ClaimsWorld world;
    world.seed = 1000 + static_cast<uint64_t>(w);
    world.datasets = {"cifar10"};
    world.domain_datasets.clear();
    world.images = 300;
    world.steps = {0, 50, 150, 400, 1000};
    world.truth = [](const std::string&, const std::string&, int64_t step) {
      return Truth{.clean = 0.8, .robust = step == 0 ? 0.01 : step == 1000 ? 0.2 : 0.2 + kOnePoint, .other = 0};
    };
    const StudyCheck check = world.checked({.resamples = 200});
    confirmed_fall += part_of(check, "cifar10: fall").verdict == V::kConfirmed;
    refuted_best += part_of(check, "cifar10: best").verdict == V::kRefuted;
    confirmed_best += part_of(check, "cifar10: best").verdict == V::kConfirmed;
  }
  // 2.5 % of 60 are 1.5; more than six have a chance below 0.1 %.
  CHECK(confirmed_fall <= 6);
  CHECK(confirmed_best <= 6);
  CHECK(refuted_best <= 8);  // six comparisons at 5 % together
}

TEST_CASE("runs of a strategy that differ widen the intervals") {
  ClaimsWorld world;
  world.datasets = {"cifar10"};
  world.domain_datasets.clear();
  world.truth = as_claimed;
  world.seeds = 4;
  const auto width = [&](double noise) {
    world.run_noise = noise;
    const StudyCheck check = world.checked();
    const ClaimPart& part = part_of(check, "cifar10: best");
    CHECK(check.datasets[0].statistics.fewest_runs() == 4);
    return *part.high - *part.low;
  };
  const double calm = width(0), noisy = width(0.4);
  CHECK(noisy > 2 * calm);
}

TEST_CASE("a missing strategy keeps the best from being confirmed, not from being refuted") {
  ClaimsWorld world;
  world.datasets = {"cifar10", "cifar100"};
  world.domain_datasets.clear();
  world.strategies = {"bitfit", "lora", "full"};
  world.truth = as_claimed;
  const StudyCheck open = world.checked();
  CHECK(part_of(open, "cifar10: best").verdict == V::kUndecided);
  CHECK(part_of(open, "cifar10: best").why.find("no done run of compacter, adapter, ia3, lp") != std::string::npos);
  CHECK(part_of(open, "cifar10: size").why.find("all seven") != std::string::npos);
  world.truth = [](const std::string& dataset, const std::string& strategy, int64_t step) {
    return as_claimed(dataset, strategy == "bitfit" ? "lp" : strategy == "lora" ? "bitfit" : strategy, step);
  };
  CHECK(part_of(world.checked(), "cifar10: best").verdict == V::kRefuted);
}

TEST_CASE("what only has the name of a data set of the paper decides nothing") {
  ClaimsWorld world;
  world.datasets = {"cifar10", "cifar100"};
  world.domain_datasets.clear();
  world.truth = as_claimed;
  world.classes = [](const std::string&) { return 5; };
  const StudyCheck other = world.checked();
  CHECK(claim_of(other, 2).speaks() == "no");
  CHECK(part_of(other, "cifar10: best").limit.find("5 classes here, the paper's 10") != std::string::npos);
  CHECK(other.ranks.empty());
  world.classes = nullptr;
  world.dataset_settings = "data.classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n";
  CHECK(claim_of(world.checked(), 2).speaks() == "no");
}

TEST_CASE("another protocol is said, and the paper's sizes are not judged by it") {
  ClaimsWorld world;
  world.truth = as_claimed;
  world.settings = "attack.eps = \"1/1020\"\neval.n = 2000\ntrain.steps = 7040\n";
  const StudyCheck check = world.checked();
  const std::vector<std::string> expected = {"eval.n 2000 instead of the whole test set",
                                             "attack.eps 1/1020 instead of 1/255"};
  CHECK(check.departures() == expected);
  CHECK(part_of(check, "cifar10: size").verdict == V::kUndecided);
  CHECK(part_of(check, "cifar10: best").verdict == V::kConfirmed);
  for (const Claim& claim : check.claims)
    for (const ClaimPart& p : claim.parts) CHECK(p.part != "domainnet: size of full");
  CHECK(claim_rows(check)[0]["conditions"] == "its own");
  CHECK(check_markdown(check).find("Not the paper's protocol: eval.n 2000 instead of the whole test set;") !=
        std::string::npos);
}

TEST_CASE("every data set of the table is compared, with intervals of its rank correlations") {
  ClaimsWorld world;
  world.domain_datasets.clear();
  world.truth = [](const std::string& dataset, const std::string& strategy, int64_t step) {
    const double area = *paper_area(*paper_dataset(dataset), strategy);
    return Truth{.clean = step == 0 ? 0.1 : 0.9, .robust = step == 0 ? 0.01 : area / 0.9, .other = 0};
  };
  world.images = 20000;
  const StudyCheck exact = world.checked();
  REQUIRE(exact.ranks.size() == 5 * 7);
  for (const RankComparison& r : exact.ranks) {
    if (r.definition != "hypervolume") continue;
    CAPTURE(r.dataset);
    CHECK(r.strategies == 7);
    CHECK(r.spearman > 0.95);  // ties of the table have no order here
    CHECK(r.kendall > 0.85);
    CHECK(r.chance < 0.01);
    CHECK(r.slope == doctest::Approx(1).epsilon(0.05));
    REQUIRE(r.spearman_interval.has_value());
    CHECK(r.spearman_interval->low > 0.8);
    CHECK(r.spearman_interval->low <= r.spearman);
    CHECK(r.spearman <= r.spearman_interval->high);
  }
  world.images = 60;
  const StudyCheck vague = world.checked();
  const auto width = [](const StudyCheck& check) {
    return check.ranks[0].spearman_interval->high - check.ranks[0].spearman_interval->low;
  };
  CHECK(width(vague) > 0.1);
  CHECK(width(vague) > 2 * width(exact));
  const std::vector<Row> areas = area_rows(exact);
  CHECK(areas.size() == 35);
  for (const Row& row : areas) {
    CHECK(row["low"] <= row["area"]);
    CHECK(row["area"] <= row["high"]);
    CHECK(std::abs(row["area"].get<double>() - row["paper"].get<double>()) < 0.01);
  }
}

TEST_CASE("the preset mini: what such a study can speak about, before and after it ran") {
  const Plan plan = make_plan(preset("mini").text, "mini", Source::kPreset, {"data.root=/no/such"});
  StudyResults results;
  for (const PlanRow& row : plan.rows) {
    RunResult run;
    run.run_id = row.run_id;
    run.dataset = row.dataset;
    run.strategy = row.strategy;
    results.runs.push_back(run);
  }
  const StudyCheck check = check_study(plan, results);
  CHECK(check.done == 0);
  CHECK(check.planned == 28);
  const std::vector<std::string> expected = {"in part", "in part", "no", "yes"};
  for (int number = 1; number <= 4; ++number) {
    CAPTURE(number);
    CHECK(claim_of(check, number).speaks() == expected[static_cast<size_t>(number) - 1]);
    CHECK(claim_of(check, number).verdict() == V::kUndecided);
  }
  CHECK(part_of(check, "cifar100: best").limit == "not in this study");
  CHECK(part_of(check, "caltech256: best").limit == "not in this study; caltech101 is another task");
  const std::string text = check_markdown(check);
  CHECK(text.find("0 of 28 planned runs are done") != std::string::npos);
  CHECK(text.find("model.name deit_tiny_patch16_224 instead of vit_base_patch16_224") != std::string::npos);
}

TEST_CASE("what stands in for a data set of the paper is measured and decides nothing") {
  ClaimsWorld world;
  world.datasets = {"caltech101", "grocery81"};
  world.domain_datasets = {"pacs-photo"};
  world.classes = [](const std::string&) { return 81; };
  world.truth = as_claimed;
  const StudyCheck check = world.checked();
  CHECK(claim_of(check, 3).verdict() == V::kUndecided);
  CHECK(claim_of(check, 3).speaks() == "no");
  const ClaimPart& part = part_of(check, "grocery81: best");
  CHECK(part.verdict == V::kUndecided);
  CHECK(part.value.has_value());
  CHECK(part.why.starts_with("in the place of cub200: confirmed here, which decides nothing"));
  CHECK(claim_of(check, 4).verdict() == V::kConfirmed);
  CHECK(claim_of(check, 1).verdict() == V::kConfirmed);
}

TEST_CASE("the 57.5 % of the abstract are recorded as the column they come from") {
  ClaimsWorld world;
  world.truth = as_claimed;
  world.images = 200;
  const StudyCheck check = world.checked({.resamples = 50});
  CHECK(
      part_of(check, "caltech256: size").why ==
      "the abstract says 57.5 % here, which is the table's Stanford Dogs column; its Caltech-256 column gives 24.0 %");
  CHECK(part_of(check, "cub200: size").why.empty());
  const std::string text = check_markdown(check);
  CHECK(text.find("gives 57.5 % above average for Compacter on Caltech-256") != std::string::npos);
  CHECK(text.find("Stanford Dogs column (57.5 %); the Caltech-256 column gives 24.0 %") != std::string::npos);
}

TEST_CASE("the command: rows with a claim and a verdict, tables, exit 1 where a claim is refuted, a subset of runs") {
  const TempFolder folder;
  MadeStudy options;
  options.datasets = {"fine", "cifar10"};
  const Plan plan = make_study(folder / "s", options);
  const Outcome json = taut({"study", "check", folder / "s", "-o", "json"});
  CAPTURE(json.err);
  const nlohmann::json rows = nlohmann::json::parse(json.out);
  std::set<std::string> claims;
  bool refuted = false;
  for (const auto& row : rows) {
    claims.insert(row.at("claim").get<std::string>());
    const std::string verdict = row.at("verdict");
    CHECK((verdict == "confirmed" || verdict == "refuted" || verdict == "undecided"));
    refuted = refuted || (row.at("part") == "claim" && verdict == "refuted");
    for (const auto& [key, value] : row.items()) CHECK(!value.is_structured());
  }
  CHECK(claims.size() == 4);
  CHECK(json.code == (refuted ? 1 : 0));
  CHECK(taut({"study", "check", folder / "s", "-o", "json", "-t", "3"}).out == json.out);
  CHECK(taut({"study", "check", folder / "s", "-o", "csv"}).out.starts_with("claim,part,verdict,"));
  const nlohmann::json areas =
      nlohmann::json::parse(taut({"study", "check", folder / "s", "-o", "json", "--table", "areas"}).out);
  CHECK(areas.size() == 5 * 7 + 2 * 7);  // cifar10 is procedural here, so it is not the paper's
  CHECK(taut({"study", "check", folder / "s", "-o", "json", "--table", "ranks"}).out.starts_with("["));
  CHECK(taut({"study", "check", folder / "s", "--table", "fronts"}).code == 2);
  const Outcome text = taut({"study", "check", folder / "s"});
  for (const char* heading : {"### Areas", "### Order of the strategies", "### Claims"})
    CHECK(text.out.find(heading) != std::string::npos);
  CHECK(text.out.find("14 of 14 planned runs are done") != std::string::npos);

  std::filesystem::remove_all(folder / "s/runs/" + plan.rows[0].run_id);
  const Outcome less = taut({"study", "check", folder / "s"});
  CHECK(less.out.find("13 of 14 planned runs are done") != std::string::npos);
  std::filesystem::remove_all(folder / "s/runs");
  CHECK(taut({"study", "check", folder / "s"}).out.find("0 of 14 planned runs are done") != std::string::npos);
  CHECK(taut({"study", "check", folder / "nothing"}).code == 66);
}

}  // namespace
}  // namespace taut::study
