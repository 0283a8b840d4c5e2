// Drill 30: what docs/numerics.md promises to be the same bytes is, and what it promises within a tolerance is.
#include <nlohmann/json.hpp>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

using nlohmann::json;

json result_of(const TinyRun& tiny, const std::string& name) {
  return json::parse(read_text_file(tiny.folder / (name + "/result.json")));
}

TEST_CASE("drill 30: twice the same run, 1, 2 and 8 threads, either instruction set: the same bytes") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  for (const auto& [threads, environment] :
       std::vector<std::pair<std::string, std::string>>{{"1", ""}, {"2", ""}, {"8", ""}, {"1", "TAUT_ISA=avx2"}}) {
    CAPTURE(threads);
    CAPTURE(environment);
    std::vector<std::string> arguments = tiny.arguments("again");
    arguments.back() = threads;
    std::filesystem::remove_all(tiny.folder / "again");
    const Outcome o = taut(arguments, environment);
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    CHECK(promised_files(tiny.folder / "again") == calm);
  }
}

TEST_CASE("drill 30: batches of 1, 4 and 64 images give the same verdicts, losses but for the order of the sum") {
  const TinyRun tiny;
  tiny.calm("b4");
  const json wanted = result_of(tiny, "b4");
  for (const std::string batch : {"1", "5", "64"}) {
    CAPTURE(batch);
    REQUIRE(tiny.train("b" + batch, {}, {"eval.batch=" + batch}).code == 0);
    const json got = result_of(tiny, "b" + batch);
    REQUIRE(got.at("evaluations").size() == wanted.at("evaluations").size());
    for (size_t i = 0; i < wanted.at("evaluations").size(); ++i) {
      const json &a = got.at("evaluations")[i], &b = wanted.at("evaluations")[i];
      for (const char* field : {"clean_correct", "robust_last_correct", "robust_best_correct", "max_perturbation",
                                "shifted", "train", "zero_gradient_share"})
        CHECK(a.at(field) == b.at(field));
      for (const char* field : {"mean_loss_clean", "mean_loss_adv"})
        CHECK(a.at(field).get<double>() == doctest::Approx(b.at(field).get<double>()).epsilon(1e-12));
    }
    for (const char* step : {"00000000", "00000006", "00000012"}) {
      const std::string file = std::string("/samples/step-") + step + ".json";
      CHECK(read_text_file(tiny.folder / ("b" + batch + file)) == read_text_file(tiny.folder / ("b4" + file)));
    }
  }
}

// These were read off a Release build; a build without optimisation (`--preset debug`) runs the same test.
TEST_CASE("drill 30: builds with and without optimisation agree") {
  const TinyRun tiny;
  tiny.calm("run");
  const json result = result_of(tiny, "run");
  const double losses[] = {1.521146, 1.61521,  1.608878, 1.656239, 1.612522, 1.921109,
                           1.78823,  1.676373, 1.728282, 1.711138, 1.30365,  1.650553};
  size_t i = 0;
  for (const std::string& line : lines_of(read_text_file(tiny.folder / "run/metrics.jsonl"))) {
    const json metric = json::parse(line);
    if (metric.at("metric") != "loss") continue;
    REQUIRE(i < std::size(losses));
    CHECK(metric.at("value").get<double>() == doctest::Approx(losses[i]).epsilon(2e-5));
    ++i;
  }
  CHECK(i == std::size(losses));
}

}  // namespace
}  // namespace taut::study
