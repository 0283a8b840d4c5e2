// Drills 1 and 2: SIGKILL at random moments, and at every call of a checkpoint that changes the file system.
// tests/study/resume.cc has the short form of drill 1.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// Where a run stands just before it writes its third checkpoint, step 6, with the two before it on disk.
std::string before_third_checkpoint(const TinyRun& tiny) {
  const Outcome o =
      tiny.train("before", {.path = "/before/ckpt/.tmp-step-00000006", .calls = ",mkdir,", .action = "kill", .at = 1});
  REQUIRE(o.code == 128 + SIGKILL);
  REQUIRE(newest_step(tiny.folder / "before") == 4);
  return tiny.folder / "before";
}

TEST_CASE("drill 2: killed before any call of a checkpoint, or in the middle of any write") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string before = before_third_checkpoint(tiny), run = tiny.folder / "run";
  int64_t at_four = 0, at_six = 0;
  // Until the new checkpoint stands, older ones are gone, and what follows has begun.
  for (int64_t at = 1; at_six < 14; ++at) {
    CAPTURE(at);
    copy_run(before, run);
    const Outcome o = tiny.train("run", {.path = "/run", .calls = kChanges, .action = "half", .at = at});
    REQUIRE(o.code == 128 + SIGKILL);
    const int64_t step = newest_step(run);
    CHECK((step == 4 || step == 6));
    ++(step == 4 ? at_four : at_six);
    if (at % 8 != 0 && !long_form()) continue;
    const Outcome after = tiny.train("run");
    CAPTURE(after.err);
    REQUIRE(after.code == 0);
    CHECK(after.err.find("resumed at step " + std::to_string(step)) != std::string::npos);
    CHECK(promised_files(run) == calm);
    CHECK(strays(run).empty());
  }
  CHECK(at_four > 40);  // three files and a manifest, each created, written, synced, closed and renamed
}

TEST_CASE("drill 2: killed at call after call of one run, each time further on, it ends with the bytes of a calm one") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  int kills = 0;
  // Every start lives for more calls than the one before, so that the kills walk through the whole run.
  for (int64_t at = 1; kills < 1000; at += long_form() ? 1 : 7) {
    const Outcome o = tiny.train("run", {.path = "/run", .calls = kChanges, .action = "half", .at = at});
    if (o.code == 0) break;
    CAPTURE(o.err);
    REQUIRE(o.code == 128 + SIGKILL);
    ++kills;
  }
  CHECK(kills > 5);
  CHECK(promised_files(run) == calm);
  CHECK(strays(run).empty());
}

TEST_CASE("drill 1: killed 200 times at random moments of training and evaluation") {
  const TinyRun tiny;
  const auto begin = std::chrono::steady_clock::now();
  const auto calm = tiny.calm();
  const double span = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::mt19937 random(2026);
  std::uniform_real_distribution<double> moment(0.02, 0.9);
  const std::string storm = tiny.folder / "storm";
  int kills = 0, rounds = 0;
  while (kills < 200) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execl(TAUT_BINARY, "taut", "train", "-c", (tiny.folder / "tiny.toml").c_str(), "--out", storm.c_str(), "-t",
              "1", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::usleep(static_cast<useconds_t>(moment(random) * span * 1e6));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
      ++kills;
      continue;
    }
    REQUIRE(WEXITSTATUS(status) == 0);
    CHECK(promised_files(storm) == calm);
    fs::remove_all(storm);
    ++rounds;
  }
  REQUIRE(tiny.train("storm").code == 0);
  CHECK(promised_files(storm) == calm);
  CHECK(strays(storm).empty());
  MESSAGE(kills << " kills in " << rounds + 1 << " runs");
}

}  // namespace
}  // namespace taut::study
