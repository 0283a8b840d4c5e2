// Drill 3: SIGTERM, SIGUSR1 and SIGINT end a run with 75 after a bounded amount of work, and it goes on to the same
// bytes; a second SIGINT ends it at once with 130. The process stands still inside a call while the signal is sent, so
// that what it does afterwards can be counted.
#include <signal.h>
#include <unistd.h>

#include "tests/drills/faults.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// A run that stands still at its first call of that kind on that path.
struct Standing {
  Standing(const TinyRun& tiny, const std::string& calls, const std::string& path)
      : mark(tiny.folder / "mark"),
        child(start_taut(tiny.arguments("run"), {.path = path, .calls = calls, .action = "hang", .at = 1, .mark = mark},
                         tiny.folder / "said")) {
    REQUIRE(holds_soon([&] { return fs::exists(mark); }));
  }
  // Sends a signal and returns when its handler has it.
  void send(int signal) const {
    ::kill(child, signal);
    REQUIRE(holds_soon([&] {
      std::ifstream in("/proc/" + std::to_string(child) + "/status");
      for (std::string line; std::getline(in, line);)
        if (line.starts_with("SigPnd:") || line.starts_with("ShdPnd:"))
          if (std::stoull(line.substr(7), nullptr, 16) != 0) return false;
      return true;
    }));
  }
  void go_on() const { fs::remove(mark); }
  // The exit code, 128 + n after signal n.
  int code() {
    int status = 0;
    REQUIRE(holds_soon([&] { return ::waitpid(child, &status, WNOHANG) == child; }));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  std::string mark;
  pid_t child;
};

TEST_CASE("drill 3: each signal gives a checkpoint and 75, and the run goes on to the same bytes") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  const struct {
    int signal;
    std::string calls, path;
    int64_t step;  // of the checkpoint that must be there
  } cases[] = {
      {SIGTERM, ",fsync,", "/run/ckpt/.tmp-step-00000004", 4},  // while it writes a checkpoint
      {SIGUSR1, ",write,", "/run/metrics.jsonl", 1},            // while it trains: the first update's line
      {SIGINT, ",write,", "/run/timing.jsonl", -1},             // before it evaluates step 0
      {SIGTERM, ",fsync,", "/run/evaluation.json", -1},         // while it evaluates step 0: nothing to keep yet
      {SIGUSR1, ",open,", "/run/result.json", 12},              // at the end: what is left is one file
  };
  for (const auto& c : cases) {
    CAPTURE(c.path);
    CAPTURE(c.signal);
    fs::remove_all(run);
    Standing standing(tiny, c.calls, c.path);
    standing.send(c.signal);
    standing.go_on();
    const int code = standing.code();
    const std::string said = read_text_file(tiny.folder / "said.err");
    CAPTURE(said);
    if (c.step == 12) {
      CHECK(code == 0);
    } else {
      CHECK(code == 75);
      CHECK(said.find("interrupted; hint: ") != std::string::npos);
      CHECK(!fs::exists(run + "/result.json"));
    }
    // At most the update that was running, and its checkpoint.
    const int64_t step = newest_step(run);
    CHECK(step >= c.step);
    CHECK(step <= std::max<int64_t>(c.step, 0) + 1);
    const Outcome after = tiny.train("run");
    CAPTURE(after.err);
    REQUIRE(after.code == 0);
    CHECK(promised_files(run) == calm);
    CHECK(strays(run).empty());
  }
}

TEST_CASE("drill 3: a second SIGINT ends the run at once with 130, and it goes on to the same bytes") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  Standing standing(tiny, ",fsync,", "/run/ckpt/.tmp-step-00000004");
  standing.send(SIGINT);
  ::kill(standing.child, SIGINT);  // the call that it stands in never ends
  CHECK(standing.code() == 130);
  CHECK(newest_step(run) == 2);
  const Outcome after = tiny.train("run");
  CAPTURE(after.err);
  REQUIRE(after.code == 0);
  CHECK(promised_files(run) == calm);
  CHECK(strays(run).empty());
}

}  // namespace
}  // namespace taut::study
