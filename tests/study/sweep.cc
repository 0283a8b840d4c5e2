// Sweeps: lists and ranges over settings become runs; what came before them keeps its names.
#include "study/sweep.h"

#include <set>

#include "study/plan.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

const std::string kHead = "model.name = \"vit_demo\"\ndata.path = \"procedural:easy\"\ntrain.steps = 10\n";
const std::string kStudy = "[study]\nstrategies = [\"full\", \"lora\"]\n";
const std::string kDataset = "[[study.dataset]]\nname = \"easy\"\n";

Plan plan_of(const std::string& text, const std::vector<std::string>& arguments = {}) {
  return make_plan(text, "s.toml", Source::kFile, arguments);
}

std::vector<SweepAxis> axes_of(const std::string& table) {
  TomlTable parsed = parse_toml(table, "s.toml", TomlItems::kAny);
  return take_axes(parsed, "sweep.", "s.toml");
}
std::vector<std::string> values_of(const std::string& range) { return axes_of("sweep." + range).at(0).values; }

using Texts = std::vector<std::string>;

TEST_CASE("lists and ranges, linear and logarithmic, with the ends as they were written") {
  CHECK(values_of("peft.rank = [4, 8, 16]") == Texts{"4", "8", "16"});
  CHECK(values_of("train.lr = [1e-3, 5e-3]") == Texts{"0.001", "0.005"});
  CHECK(values_of("attack.eps = [\"1/255\", \"2/255\"]") == Texts{"1/255", "2/255"});
  CHECK(values_of("train.schedule = [\"linear\", \"cosine\"]") == Texts{"linear", "cosine"});
  CHECK(values_of("train.replacement = [true, false]") == Texts{"true", "false"});
  CHECK(values_of("data.classes = [[0, 1], [2, 3], [4]]") == Texts{"0, 1", "2, 3", "4"});
  CHECK(values_of("data.path = [\"a,b\", \"c\"]") == Texts{"a,b", "c"});
  CHECK(values_of("train.batch = { from = 32, to = 128, step = 32 }") == Texts{"32", "64", "96", "128"});
  CHECK(values_of("train.batch = { from = 32, to = 127, step = 32 }") == Texts{"32", "64", "96"});
  CHECK(values_of("peft.rank = { from = 1, to = 64, factor = 4 }") == Texts{"1", "4", "16", "64"});
  CHECK(values_of("peft.rank = { from = 1, to = 1000, points = 4, scale = \"log\" }") ==
        Texts{"1", "10", "100", "1000"});
  CHECK(values_of("train.lr = { from = 1e-5, to = 1e-2, points = 4, scale = \"log\" }") ==
        Texts{"1e-05", "0.0001", "0.001", "0.01"});
  CHECK(values_of("train.lr = { from = 0.1, to = 0.3, step = 0.1 }") == Texts{"0.1", "0.2", "0.3"});
  CHECK(values_of("train.weight_decay = { from = 0, to = 1, points = 5 }") == Texts{"0", "0.25", "0.5", "0.75", "1"});
  CHECK(values_of("attack.eps = { from = \"1/255\", to = \"4/255\", factor = 2 }") ==
        Texts{"1/255", "0.0078431372549", "4/255"});
  // A setting whose own name ends like a field of a range.
  CHECK(values_of("eval.points = [[0, 10], [0, 20]]") == Texts{"0, 10", "0, 20"});
}

TEST_CASE("what is no sweep is refused with file, key and what was expected") {
  const struct {
    const char *text, *word;
  } cases[] = {{"train.lr = []", "at least one value"},
               {"train.lr = 1e-3", "a list of values or a range"},
               {"train.lr = [1e-3, 0.001]", "0.001 twice"},
               {"train.lr = [1e-3, \"fast\"]", "a number or a fraction"},
               {"peft.rank = [0, 4]", "between 1 and 4096"},
               {"train.schedule = [\"linaer\"]", "linear"},
               {"train.lrr = [1, 2]", "train.lr"},
               {"train.lrr.from = 1", "no setting"},
               {"train.lr = { from = 1, too = 2 }", "no 'too'; hint: did you mean 'to'"},
               {"train.lr = { from = 1e-3 }", "none of 'to'"},
               {"train.lr = { from = 1e-3, to = 1e-2 }", "one of step, factor and points"},
               {"train.lr = { from = 1e-3, to = 1e-2, step = 1e-3, points = 3 }", "one of step, factor and points"},
               {"train.lr = { from = 1e-2, to = 1e-3, points = 3 }", "from a smaller to a larger"},
               {"train.lr = { from = 1e-2, to = 1e-2, points = 3 }", "from a smaller to a larger"},
               {"train.lr = { from = 0, to = 1, points = 3, scale = \"log\" }", "above 0 for a logarithmic range"},
               {"train.lr = { from = 0, to = 1, factor = 2 }", "above 0 for a logarithmic range"},
               {"train.lr = { from = 0.1, to = 1, factor = 1 }", "above 1"},
               {"train.lr = { from = 0.1, to = 1, step = 0 }", "above 0"},
               {"train.lr = { from = 0.1, to = 1, step = -0.1 }", "above 0"},
               {"train.lr = { from = 0.1, to = 1, step = 1e-9 }", "at most 20000 values"},
               {"train.lr = { from = 0.1, to = 1, points = 1 }", "whole number of at least 2"},
               {"train.lr = { from = 0.1, to = 1, points = 2.5 }", "whole number of at least 2"},
               {"train.lr = { from = 0.1, to = 1, points = 3, scale = \"exp\" }", "linear or log"},
               {"train.lr = { from = 0.1, to = 1, step = 0.1, scale = \"log\" }", "without points"},
               {"train.batch = { from = 1, to = 4, points = 3 }", "whole numbers"},
               {"data.path = { from = 1, to = 4, points = 3 }", "is no number"},
               {"seed = [0, 1]", "repeats"},
               {"model.strategy = [\"full\"]", "study.strategies"},
               {"threads = [1, 2]", "another run"}};
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const Error error = error_of([&] { axes_of(std::string("sweep.") + c.text); });
    CAPTURE(error.what());
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find(c.word) != std::string::npos);
    CHECK(std::string(error.what()).find("s.toml") != std::string::npos);
  }
}

TEST_CASE("every combination is a run of its own, named by its values, the last sweep fastest") {
  const Plan plan = plan_of(kHead + kStudy +
                            "repeats = 2\n[study.sweep]\ntrain.lr = [1e-3, 1e-2]\n[study.strategy.lora.sweep]\n"
                            "peft.rank = [2, 4]\n" +
                            kDataset + "[[study.dataset]]\nname = \"two\"\nsweep.train.batch = [8, 16]\n");
  // full: 2 rates; lora: 2 rates x 2 ranks; the second data set doubles both; two seeds.
  CHECK(plan.rows.size() == (2 + 4) * (1 + 2) * 2);
  std::set<std::string> ids;
  for (const PlanRow& row : plan.rows) ids.insert(row.run_id);
  CHECK(ids.size() == plan.rows.size());
  Texts names;
  for (const PlanRow& row : plan.rows)
    if (row.dataset == "easy" && row.strategy == "lora" && row.config.integer("seed") == 1)
      names.push_back(row.variant);
  CHECK(names == Texts{"lr0.001-rank2", "lr0.001-rank4", "lr0.01-rank2", "lr0.01-rank4"});
  const PlanRow& last = plan.rows.back();
  CHECK(last.run_id.starts_with("two-lora-lr0.01-batch16-rank4-s1-"));
  CHECK(last.config.number("train.lr") == 1e-2);
  CHECK(last.config.integer("train.batch") == 16);
  CHECK(last.config.integer("peft.rank") == 4);
}

TEST_CASE("a run has the same settings, and so the same hash, swept or written out") {
  const auto hash = [](const PlanRow& row) { return row.run_id.substr(row.run_id.size() - 8); };
  const Plan swept =
      plan_of(kHead + kStudy + "[study.sweep]\ntrain.lr = { from = 1e-3, to = 1e-1, factor = 10 }\n" + kDataset);
  REQUIRE(swept.rows.size() == 6);
  const char* const rates[] = {"0.001", "0.01", "0.1"};
  for (size_t i = 0; i < 3; ++i) {
    const Plan plain = plan_of(kHead + "train.lr = " + rates[i] + "\n" + kStudy + kDataset);
    CHECK(hash(plain.rows[0]) == hash(swept.rows[i]));
    CHECK(hash(plain.rows[1]) == hash(swept.rows[3 + i]));
    CHECK(plain.rows[0].variant == "base");
  }
}

TEST_CASE("the stronger replaces a sweep: settings, other sweeps, the command line") {
  const std::string swept = kHead + kStudy + "[study.sweep]\ntrain.lr = [1e-3, 1e-2]\n";
  const Plan fixed = plan_of(swept + "[study.strategy.full]\ntrain.lr = 2e-5\n" + kDataset);
  CHECK(fixed.rows.size() == 1 + 2);
  CHECK(fixed.rows[0].config.number("train.lr") == 2e-5);
  const Plan other = plan_of(swept + "[study.strategy.full.sweep]\ntrain.lr = [1e-5, 2e-5, 3e-5]\n" + kDataset);
  CHECK(other.rows.size() == 3 + 2);
  const Plan said = plan_of(swept + kDataset, {"train.lr=0.5"});
  REQUIRE(said.rows.size() == 2);
  CHECK(said.rows[0].config.number("train.lr") == 0.5);
  CHECK(said.rows[0].variant == "base");
  const Error unused = error_of([&] { plan_of(swept + kDataset + "train.lr = 1\n"); });
  CHECK(std::string(unused.what()).find("s.toml: study.sweep.train.lr") != std::string::npos);
  CHECK(std::string(unused.what()).find("sweeps no run") != std::string::npos);
  const Error both = error_of([&] { plan_of(kHead + kStudy + kDataset + "train.lr = 1\nsweep.train.lr = [1, 2]\n"); });
  CHECK(std::string(both.what()).find("does not set, too") != std::string::npos);
}

TEST_CASE("long values and values that are no names are numbered, and keys of the same end are told apart") {
  const Plan plan = plan_of(kHead +
                            "[study]\nstrategies = [\"lp\"]\n[study.sweep]\n"
                            "data.classes = [[0, 1], [2, 3]]\ntrain.batch = [4, 8]\neval.batch = [2, 4]\n"
                            "attack.eps = [\"1/255\", \"2/255\"]\n" +
                            kDataset);
  REQUIRE(plan.rows.size() == 16);
  CHECK(plan.rows[0].variant == "eps1_255-classes.1-eval.batch2-train.batch4");
  CHECK(plan.rows[15].variant == "eps2_255-classes.2-eval.batch4-train.batch8");
  for (const PlanRow& row : plan.rows) CHECK(row.run_id.find_first_of("/ ,[]") == std::string::npos);
}

TEST_CASE("seeds and repeats hold where they are said, the stronger before the weaker") {
  const Plan plan = plan_of(kHead + kStudy + "seeds = [7]\n[study.strategy.lora]\nrepeats = 3\n" + kDataset +
                            "[[study.dataset]]\nname = \"two\"\nseeds = [1, 2]\n");
  std::vector<std::pair<std::string, int64_t>> runs;
  for (const PlanRow& row : plan.rows) runs.emplace_back(row.dataset + "-" + row.strategy, row.config.integer("seed"));
  CHECK(runs == std::vector<std::pair<std::string, int64_t>>{{"easy-full", 7},
                                                             {"easy-lora", 0},
                                                             {"easy-lora", 1},
                                                             {"easy-lora", 2},
                                                             {"two-full", 1},
                                                             {"two-full", 2},
                                                             {"two-lora", 0},
                                                             {"two-lora", 1},
                                                             {"two-lora", 2}});
  for (const char* bad : {"repeats = 0\n", "repeats = \"many\"\n", "repeats = 2\nseeds = [1]\n"}) {
    CAPTURE(bad);
    const Error error = error_of([&] { plan_of(kHead + kStudy + bad + kDataset); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find("repeats") != std::string::npos);
  }
}

TEST_CASE("a plan of more runs than anybody means is refused before it is made") {
  const std::string huge =
      "[study.sweep]\npretrain.seed = { from = 0, to = 9999, step = 1 }\n"
      "train.batch = { from = 1, to = 1000, step = 1 }\n";
  const Error error = error_of([&] { plan_of(kHead + kStudy + huge + kDataset); });
  CHECK(error.code() == Exit::kUsage);
  CHECK(std::string(error.what()).find("at most 20000 runs") != std::string::npos);
  // Counted before any is made: only so is their number known.
  const std::string sweep =
      "[study.sweep]\npretrain.seed = { from = 0, to = 199, step = 1 }\n"
      "train.batch = { from = 1, to = 100, step = 1 }\n";
  const Error product = error_of([&] { plan_of(kHead + kStudy + sweep + kDataset); });
  CHECK(product.code() == Exit::kUsage);
  CHECK(std::string(product.what()).find("plans 40000 runs, expected at most 20000") != std::string::npos);
}

TEST_CASE("one run does not come out of a sweep, unless it is told which") {
  const std::string text = kHead + kStudy + "[study.sweep]\ntrain.lr = [1e-3, 1e-2]\n" + kDataset;
  const Error error = error_of([&] { single_run(text, "s.toml", Source::kFile, {}); });
  CHECK(error.code() == Exit::kUsage);
  CHECK(std::string(error.what()).find("train.lr=VALUE") != std::string::npos);
  CHECK(single_run(text, "s.toml", Source::kFile, {"train.lr=0.1"}).config.number("train.lr") == 0.1);
}

TEST_CASE("a list of lists that is no sweep, or in a file without sweeps, is refused where it stands") {
  const Error error = error_of([&] { plan_of(kHead + "data.classes = [[0], [1]]\n" + kStudy + kDataset); });
  CHECK(error.code() == Exit::kUsage);
  CHECK(std::string(error.what()).find("s.toml:4:") != std::string::npos);
  CHECK(error_of([] { parse_toml("a = [[0], [1]]\n", "f.toml"); }).code() == Exit::kUsage);
}

TEST_CASE("settings of mode official hold in it alone") {
  const std::string text = kHead + "[study]\nstrategies = [\"lp\"]\nofficial.train.clip = 2\n" + kDataset +
                           "model.classes = 5\nofficial.model.classes = 6\n";
  CHECK(plan_of(text).rows[0].config.integer("model.classes") == 5);
  CHECK(plan_of(text).rows[0].config.number("train.clip") == 1);
  const Plan official = plan_of(text, {"study.mode=official"});
  CHECK(official.rows[0].config.integer("model.classes") == 6);
  CHECK(official.rows[0].config.number("train.clip") == 2);
  CHECK(plan_of(text, {"study.mode=official", "model.classes=9"}).rows[0].config.integer("model.classes") == 9);
  const Error error = error_of([&] { plan_of(text + "official.study.mode = \"fixed\"\n"); });
  CHECK(std::string(error.what()).find("official.study.mode") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
