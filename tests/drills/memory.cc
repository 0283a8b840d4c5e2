// Drill 15: memory runs out at allocation k.
#include <random>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Sanitizers bring an allocator of their own, which nothing can stand in front of.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kOwnAllocator = true;
#else
constexpr bool kOwnAllocator = false;
#endif

TEST_CASE("drill 15: an allocation that fails, once or from then on, is 71, and the run goes on afterwards") {
  if (kOwnAllocator) {
    MESSAGE("skipped: allocations that fail (the sanitizer's allocator cannot be told to)");
    return;
  }
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string log = tiny.folder / "log", run = tiny.folder / "run";
  REQUIRE(tiny.train("run", {.log = log, .allocation = 0}).code == 0);
  const int64_t all = read_changes(log).at(0).number;
  CHECK(all > 10'000);
  std::mt19937_64 random(15);
  std::vector<int64_t> moments;
  for (int64_t k = 1; k < 40; k += 3) moments.push_back(k);
  const int more = long_form() ? 2000 : 60;
  // Half of them early, where everything is opened and read, half anywhere.
  for (int i = 0; i < more; ++i) {
    const int64_t end = i % 2 == 0 ? std::min<int64_t>(all, 20'000) : all;
    moments.push_back(1 + static_cast<int64_t>(random() % static_cast<uint64_t>(end)));
  }
  int64_t survived = 0;
  for (size_t i = 0; i < moments.size(); ++i) {
    const bool on = i % 2 == 1;
    CAPTURE(moments[i]);
    CAPTURE(on);
    fs::remove_all(run);
    const Outcome o = tiny.train("run", {.on = on, .allocation = moments[i]});
    CAPTURE(o.err);
    CHECK((o.code == 71 || (!on && o.code == 0)));
    survived += o.code == 0;
    if (o.code != 0) CHECK(o.err.find("out of memory") != std::string::npos);
    if (!fs::exists(run)) continue;
    newest_step(run);
    if (i % 6 != 0) continue;
    const Outcome after = tiny.train("run");
    CAPTURE(after.err);
    REQUIRE(after.code == 0);
    CHECK(promised_files(run) == calm);
    CHECK(strays(run).empty());
  }
  CHECK(survived < static_cast<int64_t>(moments.size()) / 4);
}

TEST_CASE("drill 15: a limit of address space that the tensors do not fit in is 71 and says how many bytes") {
  if (kOwnAllocator) return;  // it reserves terabytes
  const TinyRun tiny;
  const auto within = [&](int64_t kilobytes, const std::string& arguments) {
    const std::string line = "ulimit -v " + std::to_string(kilobytes) + "; exec " + shell_word(TAUT_BINARY) + " " +
                             arguments + " >/dev/null 2>" + shell_word(tiny.folder / "err");
    return std::system(line.c_str());
  };
  // What the program and its libraries take before main is a machine's own: found by halving.
  int64_t too_little = 1 << 10, enough = 1 << 23;
  REQUIRE(within(enough, "--version") == 0);
  while (enough - too_little > 256) {
    const int64_t middle = (too_little + enough) / 2;
    (within(middle, "--version") == 0 ? enough : too_little) = middle;
  }
  const int status = within(enough + (32 << 10), "train -c " + shell_word(tiny.folder / "tiny.toml") + " -t 1 --out " +
                                                     shell_word(tiny.folder / "run"));
  const std::string err = read_text_file(tiny.folder / "err");
  CAPTURE(err);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 71);
  CHECK(err.find("out of memory: asked the system for 67108864 bytes") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
