// Drills 4 to 7: full disks, I/O errors of fsync and close, calls that are interrupted or do less than they were asked.
#include <algorithm>
#include <cerrno>

#include "tests/data/support.h"
#include "tests/drills/faults.h"
#include "tests/study/made_study.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

std::string number(int error) { return std::to_string(error); }

// Every file under a folder: relative path -> bytes.
std::map<std::string, std::string> all_files(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = read_text_file(entry.path().string());
  return files;
}

// How many files whose path holds `part` were renamed into place.
int64_t renames_of(const std::string& log, const std::string& part) {
  const std::vector<Change> changes = read_changes(log);
  return std::ranges::count_if(
      changes, [&](const Change& c) { return c.call == "rename" && c.path.find(part) != std::string::npos; });
}

// A run in which one call fails with `error` ends with 74, names a file, keeps a checkpoint that verifies, and goes on
// to the bytes of an undisturbed one.
void check_failure(const TinyRun& tiny, const std::map<std::string, std::string>& calm, const Faults& faults,
                   bool resume) {
  const std::string run = tiny.folder / "run";
  CAPTURE(faults.calls);
  CAPTURE(faults.at);
  fs::remove_all(run);
  const Outcome o = tiny.train("run", faults);
  CAPTURE(o.err);
  REQUIRE(o.code == 74);
  CHECK(o.err.find(run) != std::string::npos);
  CHECK(o.out.empty());
  if (!fs::exists(run)) return;
  newest_step(run);
  std::vector<std::string> left = strays(run);
  std::erase_if(left, [](const std::string& path) { return path.ends_with("evaluation.json"); });  // saves time later
  CHECK(left.empty());
  if (!resume) return;
  const Outcome after = tiny.train("run");
  CAPTURE(after.err);
  REQUIRE(after.code == 0);
  CHECK(promised_files(run) == calm);
}

TEST_CASE("drill 4: the disk is full at any write of a checkpoint") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  const std::string run = tiny.folder / "run";
  for (int64_t at = 1; at <= 8; ++at) {
    CAPTURE(at);
    fs::remove_all(run);
    const Outcome o = tiny.train(
        "run",
        {.path = "/ckpt/.tmp-step-00000006", .calls = ",open,write,", .action = number(ENOSPC), .at = at, .on = true});
    CAPTURE(o.err);
    REQUIRE(o.code == 74);
    CHECK(o.err.find("ckpt/.tmp-step-00000006/") != std::string::npos);
    CHECK(o.err.find("No space left on device; hint: ") != std::string::npos);
    CHECK(newest_step(run) == 4);
    CHECK(strays(run).empty());
    REQUIRE(tiny.train("run").code == 0);
    CHECK(promised_files(run) == calm);
  }
}

TEST_CASE("drill 4: too little room for the checkpoints is said before the run trains") {
  const TinyRun tiny;
  const Outcome scarce = tiny.train("scarce", {.room = 10'000});
  CHECK(scarce.code == 0);
  CHECK(scarce.err.find("warning: ") != std::string::npos);
  CHECK(scarce.err.find("0.01 MB are free") != std::string::npos);
  const Outcome plenty = tiny.train("plenty", {.room = 1'000'000'000});
  CHECK(plenty.err.find("are free") == std::string::npos);
}

TEST_CASE("drill 5: the disk is full at any line of metrics.jsonl; no row is lost") {
  const TinyRun tiny;
  const auto calm = tiny.calm();
  for (int64_t at = 1; at <= 60; at += 9) {
    const std::string run = tiny.folder / "run";
    fs::remove_all(run);
    CAPTURE(at);
    const Outcome o = tiny.train(
        "run", {.path = "/metrics.jsonl", .calls = ",write,", .action = number(ENOSPC), .at = at, .on = true});
    CAPTURE(o.err);
    REQUIRE(o.code == 74);
    CHECK(o.err.find("metrics.jsonl] cannot be written: No space left") != std::string::npos);
    newest_step(run);
    REQUIRE(tiny.train("run").code == 0);
    CHECK(promised_files(run) == calm);
  }
}

TEST_CASE("drill 5: the disk is full while runs merge or a report is written: what was there before stays") {
  const TempFolder folder;
  const std::string study = folder / "study", db = folder / "results.sqlite";
  const Plan plan = make_study(study, {.datasets = {"easy"}, .strategies = {"lp", "lora"}});
  write_text(study + "/study.json", to_json(plan).dump());
  REQUIRE(taut({"study", "merge", study, "--db", db}).code == 0);
  REQUIRE(taut({"study", "report", study}).code == 0);
  const auto before = all_files(study + "/report");
  const std::string store = read_text_file(db);
  const std::string more = folder / "more";
  make_study(more, {.datasets = {"fine"}, .strategies = {"full"}});
  for (const char* into : {"results.sqlite", "new.sqlite"}) {
    for (const int64_t at : {1, 2, 3}) {
      CAPTURE(into);
      CAPTURE(at);
      const Outcome o =
          taut({"study", "merge", more, "--db", folder / into}, environment_of({.path = std::string(into) + ".tmp",
                                                                                .calls = ",open,write,fsync,",
                                                                                .action = number(ENOSPC),
                                                                                .at = at,
                                                                                .on = true}));
      CAPTURE(o.err);
      CHECK(o.code == 74);
      CHECK(o.err.find(into) != std::string::npos);
      CHECK(strays(folder / ".").empty());
    }
  }
  CHECK(!fs::exists(folder / "new.sqlite"));
  CHECK(read_text_file(db) == store);
  for (const int64_t at : {1, 2, 5}) {
    CAPTURE(at);
    const Outcome o =
        taut({"study", "report", study},
             environment_of({.path = "/report/", .calls = ",write,", .action = number(ENOSPC), .at = at, .on = true}));
    CAPTURE(o.err);
    CHECK(o.code == 74);
    CHECK(o.err.find("/report/") != std::string::npos);
    CHECK(o.out.empty());
    CHECK(strays(study).empty());
    for (const auto& [name, bytes] : before) CHECK(fs::file_size(study + "/report/" + name) > 0);
  }
  CHECK(taut({"study", "report", study}).code == 0);
}

TEST_CASE("drill 6: an I/O error of fsync, of a folder's fsync or of close is a failure, whenever it comes") {
  const TinyRun tiny;
  const std::string log = tiny.folder / "log";
  REQUIRE(tiny.train("run", {.path = "/run", .log = log}).code == 0);
  const auto calm = tiny.calm();
  int64_t files = 0, folders = 0;
  for (const Change& c : read_changes(log)) {
    if (c.call != "fsync") continue;
    const bool folder = fs::path(c.path).extension() != ".tmp" && c.path.find(".jsonl") == std::string::npos;
    ++(folder ? folders : files);
  }
  CHECK(files > 30);
  CHECK(folders > 40);
  const auto each = [&](const std::string& path, const std::string& calls, int64_t n) {
    CHECK(n > 3);
    for (int64_t at = 1; at <= n; at += long_form() ? 1 : std::max<int64_t>(1, n / 12))
      check_failure(tiny, calm, {.path = path, .calls = calls, .action = number(EIO), .at = at}, at % 3 == 1);
  };
  each("/run", ",fsync,", files);
  each("/run", ",fsyncdir,", folders);
  for (const std::string kind : {".safetensors.tmp", ".json.tmp"}) each(kind, ",close,", renames_of(log, kind));
}

TEST_CASE("drill 7: interrupted calls and short reads and writes change no byte of a run, a store or a report") {
  const TinyRun tiny;
  const std::string study = tiny.folder / "study", images = "data.path=" + (tiny.folder / "images");
  for (uint64_t k = 0; k < 24; ++k) {
    const auto png = test::encode_png(test::sample_image(28, 28, 1, k));
    write_text(fmt::format("{}/images/{}/{}.png", tiny.folder / "", k % 2, k), std::string(png.begin(), png.end()));
  }
  REQUIRE(tiny.train("calm", {}, {images}).code == 0);
  const auto calm = promised_files(tiny.folder / "calm");
  const Plan plan = make_study(study, {.datasets = {"easy"}, .strategies = {"lp", "lora"}, .images = 20});
  write_text(study + "/study.json", to_json(plan).dump());
  REQUIRE(taut({"study", "merge", study, "--db", tiny.folder / "calm.sqlite"}).code == 0);
  REQUIRE(taut({"study", "report", study}).code == 0);
  const auto report = all_files(study + "/report");
  for (const Faults& faults :
       {Faults{.path = "taut-study-", .calls = ",read,write,", .action = "short"},
        Faults{.path = "taut-study-", .calls = ",open,read,write,fsync,fsyncdir,", .action = "eintr"}}) {
    CAPTURE(faults.action);
    fs::remove_all(tiny.folder / "run");
    const Outcome o = tiny.train("run", faults, {images});  // decodes them into a cache of its own
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    CHECK(promised_files(tiny.folder / "run") == calm);
    fs::remove(tiny.folder / "odd.sqlite");
    const Outcome merged = taut({"study", "merge", study, "--db", tiny.folder / "odd.sqlite"}, environment_of(faults));
    CAPTURE(merged.err);
    CHECK(merged.code == 0);
    CHECK(read_text_file(tiny.folder / "odd.sqlite") == read_text_file(tiny.folder / "calm.sqlite"));
    fs::remove_all(study + "/report");
    const Outcome reported = taut({"study", "report", study}, environment_of(faults));
    CAPTURE(reported.err);
    CHECK(reported.code == 0);
    CHECK(all_files(study + "/report") == report);
  }
}

}  // namespace
}  // namespace taut::study
