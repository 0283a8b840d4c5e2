// A run that several processes share makes the bytes of a run that one process made.
#include "study/run/share.h"

#include <signal.h>
#include <unistd.h>

#include "study/run/interrupt.h"
#include "study/submit/manifest.h"
#include "study/submit/process.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// What is compared of a run: everything it promises but its checkpoints, which a shared run keeps elsewhere.
std::map<std::string, std::string> results(const std::string& folder) {
  std::map<std::string, std::string> files = promised_files(folder);
  std::erase_if(files, [](const auto& file) { return file.first.starts_with("ckpt/"); });
  return files;
}

void whole_run(const PlanRow& row, const std::string& folder) {
  Progress progress(ProgressMode::kNone, 1);
  run(row, folder, {.cache = "", .progress = &progress});
}

Json share_of(const PlanRow& row, const std::string& study, Share share) {
  Progress progress(ProgressMode::kNone, 1);
  return run_share(row, study + "/run", study + "/shared", share,
                   {.cache = study + "/cache", .decoded = study + "/decoded", .progress = &progress});
}

void flip(const std::string& file) {
  std::string bytes = read_text_file(file);
  bytes[bytes.size() - 6] = static_cast<char>(bytes[bytes.size() - 6] ^ 1);
  write_text(file, bytes);
}

TEST_CASE("one, two, three and more processes than batches share a run: the bytes are those of one") {
  for (const std::vector<std::string>& settings :
       {std::vector<std::string>{}, {"study.mode=official", "model.strategy=adapter"}, {"model.strategy=lp"}}) {
    const TempFolder folder;
    const PlanRow row = tiny_run(settings);
    whole_run(row, folder / "whole");
    for (const int64_t of : {1, 2, 3, 5}) {
      CAPTURE(row.strategy);
      CAPTURE(of);
      const std::string study = folder / std::to_string(of);
      // Backwards, so that the trainer is not the one that has the first images.
      for (int64_t part = of; part > 1; --part) CHECK(share_of(row, study, {part, of}).is_null());
      const Json result = share_of(row, study, {1, of});
      REQUIRE(result.is_object());
      CHECK(results(study + "/run") == results(folder / "whole"));
      CHECK(!fs::exists(study + "/shared"));
      CHECK(share_of(row, study, {1, of}) == result);
    }
  }
}

TEST_CASE("shares go on after a signal, and the bytes stay") {
  const TempFolder folder;
  const PlanRow row = tiny_run();
  whole_run(row, folder / "whole");
  const std::string study = folder / "shared";
  int stops = 0;
  for (int64_t part = 1; part <= 2; ++part) {
    // Training moves a step with the signal on, an evaluation a batch only with it off.
    for (bool on = true; stops < 200; on = !on) {
      set_interrupted(on);
      const Error error = error_of([&] { share_of(row, study, {part, 2}); });
      set_interrupted(false);
      if (error.code() == Exit::kOk) break;
      REQUIRE(error.code() == Exit::kInterrupted);
      ++stops;
    }
  }
  CHECK(stops > 1);
  CHECK(results(study + "/run") == results(folder / "whole"));
}

TEST_CASE("a damaged share is an error that names the file, and only that share is judged anew") {
  const TempFolder folder;
  const PlanRow row = tiny_run();
  whole_run(row, folder / "whole");
  const std::string study = folder / "s", file = study + "/shared/2-of-3/step-00000006.json";
  share_of(row, study, {1, 3});
  share_of(row, study, {2, 3});
  const std::string good = read_text_file(file);
  const std::vector<std::pair<std::function<void()>, Exit>> harms = {
      {[&] { flip(file); }, Exit::kBadData},
      {[&] { write_text(file, good.substr(0, good.size() / 2)); }, Exit::kBadData},
      {[&] { write_text(file, ""); }, Exit::kBadData},
      {[&] { write_text(file, read_text_file(study + "/shared/1-of-3/step-00000006.json")); }, Exit::kBadData},
      {[&] { write_text(file, read_text_file(study + "/shared/2-of-3/step-00000012.json")); }, Exit::kBadData},
      {[&] { fs::remove(file); }, Exit::kMissing}};
  for (const auto& [harm, code] : harms) {
    harm();
    const Error error = error_of([&] { share_of(row, study, {3, 3}); });
    CHECK(error.code() == code);
    CHECK(std::string(error.what()).find(file) != std::string::npos);
    CHECK(std::string(error.what()).find("remove " + study + "/shared/2-of-3") != std::string::npos);
    CHECK(!fs::exists(study + "/run/result.json"));
  }
  fs::remove_all(study + "/shared/2-of-3");
  CHECK(share_of(row, study, {3, 3}).is_null());  // nothing is made of two shares of three
  CHECK(share_of(row, study, {2, 3}).is_object());
  CHECK(results(study + "/run") == results(folder / "whole"));
}

TEST_CASE("a damaged point is an error that names it; one that is gone is said") {
  const TempFolder folder;
  const PlanRow row = tiny_run();
  const std::string study = folder / "s", point = study + "/shared/points/ckpt/step-00000006";
  share_of(row, study, {1, 2});
  flip(point + "/model.safetensors");
  Error error = error_of([&] { share_of(row, study, {2, 2}); });
  CHECK(error.code() == Exit::kBadData);
  CHECK(std::string(error.what()).find(point) != std::string::npos);
  fs::remove_all(point);
  error = error_of([&] { share_of(row, study, {2, 2}); });
  CHECK(error.code() == Exit::kMissing);
  CHECK(std::string(error.what()).find("remove " + study + "/shared/train") != std::string::npos);
  fs::remove_all(study + "/shared/train");
  CHECK(share_of(row, study, {2, 2}).is_object());
}

TEST_CASE("shares at the same time, the trainer killed: the others take over") {
  const TempFolder folder;
  const std::string study = folder / "tiny.toml", whole = folder / "whole", shared = folder / "shared";
  write_text(study, kTinyStudy);
  REQUIRE(taut({"study", "run", study, "--out", whole}).code == 0);
  REQUIRE(taut({"study", "submit", study, "--out", shared}).code == 0);
  const auto start = [&](int part) {
    return start_program({TAUT_BINARY, "study", "run", "--manifest", shared, "--index", "0", "--part",
                          fmt::format("{}/3", part), "-t", "1"},
                         folder / "log", {});
  };
  const auto end_of = [](pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  };
  const pid_t trainer = start(1);
  const std::string shares = shared + "/shares";
  const auto trains = [&] {
    for (const auto& run : fs::directory_iterator(shares))
      if (fs::exists(run.path() / "points/ckpt/step-00000000")) return true;
    return false;
  };
  for (int i = 0; i < 5000 && !(fs::exists(shares) && trains()); ++i) ::usleep(1000);
  ::kill(trainer, SIGKILL);
  CHECK(end_of(trainer) != 0);
  const pid_t second = start(2), third = start(3);
  CHECK(end_of(second) == 0);
  CHECK(end_of(third) == 0);
  CHECK(end_of(start(1)) == 0);
  const std::string run_id = open_manifest(shared).plan.rows[0].run_id;
  CHECK(results(shared + "/runs/" + run_id) == results(whole + "/runs/" + run_id));
}

}  // namespace
}  // namespace taut::study
