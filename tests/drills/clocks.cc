// Drill 13: the clock of the day jumps a year forth and back at every look.
#include <nlohmann/json.hpp>
#include <set>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

TEST_CASE("drill 13: a clock that jumps by years changes no byte and no duration") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const Outcome o = tiny.train("run", {.year = true}, {});
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  CHECK(promised_files(tiny.folder / "run") == calm);

  // The log's dates show that the clock did jump.
  std::set<std::string> years;
  for (const std::string& line : lines_of(read_text_file(tiny.folder / "run/log.txt"))) years.insert(line.substr(0, 4));
  CHECK(years.size() >= 2);

  int durations = 0;
  for (const std::string& line : lines_of(read_text_file(tiny.folder / "run/timing.jsonl"))) {
    const double seconds = nlohmann::json::parse(line).at("seconds");
    CHECK(seconds >= 0);
    CHECK(seconds < 1e6);  // a jump has 3e7
    ++durations;
  }
  CHECK(durations >= 3);
}

}  // namespace
}  // namespace taut::study
