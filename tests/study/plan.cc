// Plans: which runs there are, in which order, under which names; and the evaluation schedules.
#include "study/plan.h"

#include <set>

#include "study/presets.h"
#include "study/run/point.h"
#include "study/schedule.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

const char* const kStudy = R"(
model.name = "vit_demo"
data.path = "procedural:easy"
train.steps = 10
[study]
title = "T"
strategies = ["full", "lora"]
seeds = [0, 1]
[[study.dataset]]
name = "easy"
[[study.dataset]]
name = "fine"
data.path = "procedural:fine"
train.steps = 20
[[study.setting]]
name = "base"
[[study.setting]]
name = "r4"
strategies = ["lora"]
seeds = [0]
peft.rank = 4
[study.strategy.lora]
train.lr = 0.125
)";

TEST_CASE("a study becomes one row a run, the same every time") {
  const Plan plan = make_plan(kStudy, "s.toml", Source::kFile, {});
  REQUIRE(plan.rows.size() == 2 * (2 * 2 + 1));
  std::set<std::string> ids;
  for (const PlanRow& row : plan.rows) ids.insert(row.run_id);
  CHECK(ids.size() == plan.rows.size());
  const Plan again = make_plan(kStudy, "s.toml", Source::kFile, {});
  for (size_t i = 0; i < plan.rows.size(); ++i) CHECK(plan.rows[i].run_id == again.rows[i].run_id);
  CHECK(plan.rows[0].run_id.starts_with("easy-full-base-s0-"));
  CHECK(plan.rows[0].run_id.size() == std::string("easy-full-base-s0-").size() + 8);
  CHECK(plan.rows[0].config.number("train.lr") == 2e-5);
  CHECK(plan.rows[2].config.number("train.lr") == 0.125);
  CHECK(plan.rows[5].config.integer("train.steps") == 20);
  CHECK(plan.rows[4].variant == "r4");
  CHECK(plan.rows[4].config.integer("peft.rank") == 4);
}

TEST_CASE("arguments reach every run and its name, threads and data.root do not") {
  const Plan plain = make_plan(kStudy, "s.toml", Source::kFile, {});
  const Plan longer = make_plan(kStudy, "s.toml", Source::kFile, {"train.steps=30"});
  const Plan elsewhere = make_plan(kStudy, "s.toml", Source::kFile, {"threads=2", "data.root=/x"});
  for (size_t i = 0; i < plain.rows.size(); ++i) {
    CHECK(longer.rows[i].config.integer("train.steps") == 30);
    CHECK(longer.rows[i].run_id != plain.rows[i].run_id);
    CHECK(elsewhere.rows[i].run_id == plain.rows[i].run_id);
  }
}

TEST_CASE("settings that no attack of a plan reads are refused; those that one of them reads are not") {
  const std::string study = std::string(kStudy) + "[[study.setting]]\nname = \"one-step\"\nattack.name = \"fgsm\"\n";
  const auto refused = [](const std::string& text, const std::vector<std::string>& arguments) {
    const Plan plan = make_plan(text, "s.toml", Source::kFile, arguments);
    return std::string(error_of([&] { refuse_unread_attack_settings(plan); }).what());
  };
  CHECK(refused(study, {}) == "no error");
  CHECK(refused(study, {"attack.steps=3"}) == "no error");  // pgd's
  CHECK(refused(study, {"attack.targets=3"}).starts_with("[attack.targets] the attack pgd"));
  CHECK(refused(study, {"attack.name=fgsm", "attack.steps=3"}).starts_with("[attack.steps] the attack fgsm"));
  CHECK(refused(study, {"attack.name=none", "attack.targets=3"}) == "no error");
  const std::string later = study + "[[study.setting]]\nname = \"targeted\"\nattack.name = \"mtpgd\"\n";
  CHECK(refused(later, {"attack.targets=3"}) == "no error");  // the last setting's
  CHECK(refused("attack.targets = 3\n" + study, {}).starts_with("[attack.targets]"));
  CHECK(refused("attack.targets = 3\n" + study, {"attack.name=pgd"}) == "no error");  // the file's other attack's
}

TEST_CASE("a bad study is refused by name") {
  const struct {
    const char *text, *word;
  } cases[] = {{"[study]\nstrategies = [\"lroa\"]\n[[study.dataset]]\nname = \"d\"", "lora"},
               {"[study]\nstrategies = []\n[[study.dataset]]\nname = \"d\"", "study.strategies"},
               {"[study]\nstrategies = [\"lora\"]\n", "study.dataset"},
               {"[study]\nstrategies = [\"lora\"]\n[[study.dataset]]\nname = \"a b\"", "name"},
               {"[study]\nstrategies = [\"lora\"]\n[[study.dataset]]\nname = \"d\"\ntrain.lrr = 1", "train.lr"},
               {"[study]\nstrategies = [\"lora\"]\n[[study.dataset]]\nname = \"d\"\n[[study.other]]\nname = \"x\"",
                "study.other"},
               {"[study]\nstrategies = [\"lora\", \"lora\"]\n[[study.dataset]]\nname = \"d\"", "the same"}};
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const Error error = error_of([&] { make_plan(c.text, "s.toml", Source::kFile, {}); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find(c.word) != std::string::npos);
  }
}

TEST_CASE("a data set that is not there gives way to its stand-in, and the plan says so") {
  const std::string text =
      "model.name = \"vit_demo\"\n[study]\nstrategies = [\"lora\"]\n[[study.dataset]]\nname = \"d\"\n"
      "data.path = \"/nowhere/at/all\"\ndata.classes = [1, 2]\ndata.fallback = \"procedural:easy\"\n";
  const Plan plan = make_plan(text, "s.toml", Source::kFile, {});
  CHECK(plan.rows[0].config.text("data.path") == "procedural:easy");
  CHECK(plan.rows[0].config.integers("data.classes").empty());
  REQUIRE(plan.rows[0].notes.size() == 1);
  CHECK(plan.rows[0].notes[0].find("/nowhere/at/all") != std::string::npos);
}

TEST_CASE("every preset plans, and holds what the documents promise") {
  const auto rows = [](const char* name) { return make_plan(preset(name).text, name, Source::kPreset, {}).rows; };
  for (const Preset& p : presets()) CHECK(!make_plan(p.text, p.name, Source::kPreset, {}).rows.empty());
  CHECK(rows("smoke").size() == 2);
  CHECK(rows("demo").size() == 14);
  const auto study = rows("cifar10_deit_tiny");
  CHECK(std::ranges::count_if(study, [](const PlanRow& row) { return row.dataset == "cifar10"; }) == 7);
  for (const PlanRow& row : study) {
    CHECK(row.config.integer("train.steps") >= 100);
    CHECK(row.config.integer("train.batch") == 32);
    CHECK(row.config.integer("eval.n") >= 64);
    CHECK(row.config.number("attack.eps") == 1.0 / 255);
    CHECK(row.config.integer("attack.steps") == 15);
    const auto points = evaluation_points(row.config.text("eval.schedule"), row.config.integers("eval.points"),
                                          row.config.integer("train.steps"));
    CHECK(std::count_if(points.begin(), points.end(), [](int64_t p) { return p > 0; }) >= 4);
  }
}

TEST_CASE(
    "a plan that was written down comes back with every setting and where it came from, whatever the environment") {
  const Plan plan = make_plan(kTinyStudy, "tiny.toml", Source::kFile, {"train.lr=1/255"});
  ::setenv("TAUT_CFG_TRAIN_BATCH", "7", 1);
  const Plan back = plan_from_json(to_json(plan), "study.json");
  ::unsetenv("TAUT_CFG_TRAIN_BATCH");
  CHECK(back.title == plan.title);
  REQUIRE(back.rows.size() == plan.rows.size());
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    CHECK(back.rows[i].run_id == plan.rows[i].run_id);
    CHECK(back.rows[i].config.to_toml() == plan.rows[i].config.to_toml());
  }
  auto broken = to_json(plan);
  broken["rows"][0]["settings"].emplace("train.batsh", nlohmann::ordered_json{"1", "file"});
  const Error error = error_of([&] { plan_from_json(broken, "study.json"); });
  CHECK(error.code() == Exit::kBadData);
  CHECK(std::string(error.what()).find("train.batsh") != std::string::npos);
}

TEST_CASE("the released code evaluates 17 times in 7,040 updates") {
  const std::vector<int64_t> expected = {0,   50,  100, 120, 150,  180,  210,  240, 270,
                                         300, 400, 600, 800, 1000, 2000, 4000, 7040};
  CHECK(evaluation_points("official-code", {}, 7040) == expected);
  const auto longer = evaluation_points("official-code", {}, 60000);
  const std::vector<int64_t> tail(longer.end() - 6, longer.end());
  CHECK(tail == std::vector<int64_t>{12000, 18000, 24000, 30000, 40000, 60000});
}

TEST_CASE("the paper's text: every 50 up to 700, every 1,000 up to 3,000, every 6,000 after") {
  const auto points = evaluation_points("paper-text", {}, 13000);
  CHECK(points.size() == 15 + 3 + 2 + 1);
  CHECK(std::vector<int64_t>(points.end() - 7, points.end()) ==
        std::vector<int64_t>{700, 1000, 2000, 3000, 6000, 12000, 13000});
}

TEST_CASE("a list of points is sorted, cut at the end, and has the end") {
  CHECK(evaluation_points("list", {64, 8, 8, 300}, 256) == std::vector<int64_t>{8, 64, 256});
  CHECK(evaluation_points("list", {}, 5) == std::vector<int64_t>{5});
  CHECK(error_of([] { evaluation_points("often", {}, 5); }).code() == Exit::kUsage);
}

}  // namespace
}  // namespace taut::study
