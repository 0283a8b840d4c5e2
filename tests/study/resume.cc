// A run that is killed, stopped, damaged or pointed at another configuration.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <random>

#include "study/run/checkpoint.h"
#include "study/run/interrupt.h"
#include "study/run/run.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

Json quiet_run(const PlanRow& row, const std::string& folder, bool force = false) {
  Progress progress(ProgressMode::kNone, 1);
  return run(row, folder, {.cache = "", .force_resume = force, .progress = &progress});
}

// The command on the tiny study, started in a process group of its own; returns its id.
pid_t start(const std::string& study, const std::string& out) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setpgid(0, 0);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 1);
  ::dup2(null, 2);
  ::execl(TAUT_BINARY, "taut", "train", "-c", study.c_str(), "--out", out.c_str(), "-t", "1",
          static_cast<char*>(nullptr));
  ::_exit(127);
}

// Its wait status after at most `seconds`, or -1.
int wait_for(pid_t child, double seconds) {
  int status = 0;
  for (double waited = 0; waited < seconds; waited += 0.002) {
    if (::waitpid(child, &status, WNOHANG) == child) return status;
    ::usleep(2000);
  }
  return -1;
}

// Runs to the end through as many signals as it takes; returns how many stopped it.
int run_interrupted(const PlanRow& row, const std::string& folder) {
  set_interrupted(true);
  int stops = 0;
  while (!fs::exists(folder + "/result.json") && stops < 100) {
    const Error error = error_of([&] { quiet_run(row, folder); });
    if (error.code() == Exit::kOk) break;
    REQUIRE(error.code() == Exit::kInterrupted);
    // An evaluation stops before its next batch, so that nothing would move with the signal always on.
    if (++stops % 2 == 0) set_interrupted(false);
    if (stops % 2 == 1) set_interrupted(true);
  }
  set_interrupted(false);
  quiet_run(row, folder);
  return stops;
}

TEST_CASE("killed at random moments, a run ends with the bytes of one that was left alone") {
  const TempFolder folder;
  const std::string study = folder / "tiny.toml", calm = folder / "calm", storm = folder / "storm";
  write_text(study, kTinyStudy);
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(taut({"train", "-c", study, "--out", calm, "-t", "1"}).code == 0);
  const double span = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::mt19937 random(7);
  std::uniform_real_distribution<double> moment(0.02, 0.9);
  int kills = 0;
  for (int i = 0; i < 200 && kills < 15; ++i) {
    const pid_t child = start(study, storm);
    const int status = wait_for(child, moment(random) * span);
    if (status >= 0) {
      CHECK(WIFEXITED(status));
      CHECK(WEXITSTATUS(status) == 0);
      fs::remove_all(storm);
      continue;
    }
    ::kill(child, SIGKILL);
    int ignored = 0;
    ::waitpid(child, &ignored, 0);
    ++kills;
  }
  CHECK(kills == 15);
  REQUIRE(taut({"train", "-c", study, "--out", storm, "-t", "1"}).code == 0);
  CHECK(promised_files(storm) == promised_files(calm));
  CHECK(strays(storm).empty());
}

TEST_CASE("a signal makes a checkpoint, and the run goes on to the same bytes") {
  const TempFolder folder;
  const PlanRow row = tiny_run();
  quiet_run(row, folder / "calm");
  CHECK(run_interrupted(row, folder / "storm") > 0);
  CHECK(promised_files(folder / "storm") == promised_files(folder / "calm"));
}

TEST_CASE("SIGTERM ends the command with 75 and a checkpoint, a second process is turned away with 75") {
  const TempFolder folder;
  const std::string study = folder / "tiny.toml", out = folder / "run";
  std::string longer = kTinyStudy;
  longer.replace(longer.find("train.steps = 12"), 16, "train.steps = 4000");
  write_text(study, longer);
  const pid_t child = start(study, out);
  for (int i = 0; i < 3000 && !fs::exists(out + "/ckpt/last"); ++i) ::usleep(10000);
  const Outcome second = taut({"train", "-c", study, "--out", out});
  CHECK(second.code == 75);
  CHECK(second.err.find(out) != std::string::npos);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 75);
  CHECK(read_last_checkpoint(out, [](const std::string& w) { FAIL(w); }).has_value());
}

TEST_CASE("a damaged newest checkpoint costs the steps since the one before, and no byte of the result") {
  const TempFolder folder;
  const PlanRow row = tiny_run();
  quiet_run(row, folder / "calm");
  fs::copy(folder / "calm", folder / "hurt", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  fs::remove(folder / "hurt/result.json");
  const std::string newest = folder / "hurt/ckpt/step-00000012/optim.safetensors";
  std::string bytes = read_text_file(newest);
  bytes[bytes.size() - 3] = static_cast<char>(bytes[bytes.size() - 3] ^ 1);
  write_text(newest, bytes);
  quiet_run(row, folder / "hurt");
  CHECK(promised_files(folder / "hurt") == promised_files(folder / "calm"));
}

TEST_CASE("other settings are refused by key unless forced, and a forced result says so") {
  const TempFolder folder;
  const std::string out = folder / "run";
  quiet_run(tiny_run(), out);
  fs::remove(out + "/result.json");
  const PlanRow other = tiny_run({"train.lr=1e-3", "train.weight_decay=0.02"});
  const Error error = error_of([&] { quiet_run(other, out); });
  CHECK(error.code() == Exit::kUsage);
  for (const char* key : {"train.lr", "train.weight_decay", "--force-resume"})
    CHECK(std::string(error.what()).find(key) != std::string::npos);
  CHECK(quiet_run(tiny_run({"threads=1", "data.root=/elsewhere"}), out).at("forced_resume") == false);
  fs::remove(out + "/result.json");
  // The mark outlives a stop: the settings on disk are the new ones by then.
  set_interrupted(true);
  CHECK(error_of([&] { quiet_run(other, out, true); }).code() == Exit::kInterrupted);
  set_interrupted(false);
  CHECK(quiet_run(other, out).at("forced_resume") == true);
}

TEST_CASE("a run that is done says so and changes nothing") {
  const TempFolder folder;
  quiet_run(tiny_run(), folder / "run");
  const auto before = promised_files(folder / "run");
  const Json again = quiet_run(tiny_run(), folder / "run");
  CHECK(again.at("steps") == 12);
  CHECK(promised_files(folder / "run") == before);
}

TEST_CASE("threads change no byte") {
  const TempFolder folder;
  quiet_run(tiny_run({"threads=1"}), folder / "one");
  quiet_run(tiny_run({"threads=2"}), folder / "two");
  CHECK(promised_files(folder / "one") == promised_files(folder / "two"));
}

TEST_CASE("mode official keeps the best epoch, through a resume too") {
  const TempFolder folder;
  const std::vector<std::string> official = {"study.mode=official", "train.epochs=2", "train.steps=0"};
  const Json calm = quiet_run(tiny_run(official), folder / "calm");
  CHECK(calm.at("best_step").get<int64_t>() > 0);
  CHECK(run_interrupted(tiny_run(official), folder / "storm") > 0);
  CHECK(promised_files(folder / "storm") == promised_files(folder / "calm"));
}

TEST_CASE("a loss that is not finite ends the run with 70, the last good checkpoint stays") {
  const TempFolder folder;
  const PlanRow row = tiny_run({"train.lr=1e30", "train.schedule=constant", "train.warmup=5", "train.clip=0"});
  const Error error = error_of([&] { quiet_run(row, folder / "run"); });
  CHECK(error.code() == Exit::kNumeric);
  CHECK(read_last_checkpoint(folder / "run", [](const std::string& w) { FAIL(w); }).has_value());
  CHECK(!fs::exists(folder / "run/result.json"));
}

}  // namespace
}  // namespace taut::study
