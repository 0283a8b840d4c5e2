// Results that are there by halves, as copies between machines leave them: every command tells the same story of them,
// no other run is hidden, and the run is made again.
#include <algorithm>

#include "study/collect.h"
#include "study/run/checkpoint.h"
#include "study/run/directory.h"
#include "study/store/store.h"
#include "study/study.h"
#include "study/submit/tasks.h"
#include "tests/study/made_study.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

TEST_CASE("a damaged run is failed with its reason for status, report, check and merge alike, and hides no other") {
  const TempFolder folder;
  const std::string study = folder / "s";
  const Plan plan = make_study(study, {.datasets = {"fine"}, .strategies = {"full", "lp", "lora"}, .seeds = 2});
  const auto run = [&](size_t i) { return study + "/runs/" + plan.rows[i].run_id; };
  write_text(run(0) + "/result.json", "{\"a\":1");
  write_text(run(1) + "/result.json", read_text_file(run(2) + "/result.json"));
  fs::remove(run(3) + "/samples/" + checkpoint_name(8) + ".json");
  fs::remove(run(4) + "/result.json");
  write_text(run(4) + "/failed.json", "{\"error\": \"the lo");
  const std::vector<std::string> reasons = {"[result.json] is cut off or no JSON", "is of another run",
                                            "samples/step-00000008.json", "failed.json cannot be understood"};
  const std::vector<size_t> damaged = {0, 1, 3, 4};

  const Merged merged = merge_into({study}, folder / "db");
  CHECK(merged.failed == 4);
  CHECK(merged.done == 2);
  const std::vector<Row> rows = study_status(study);
  const StudyResults results = collect(plan, study);
  REQUIRE(rows.size() == 6);
  REQUIRE(results.runs.size() == 6);
  for (size_t i = 0; i < damaged.size(); ++i) {
    const size_t r = damaged[i];
    CAPTURE(r);
    CHECK(rows[r].at("state") == "failed");
    CHECK(results.runs[r].state == RunState::kFailed);
    for (const std::string& why : {rows[r].at("error").get<std::string>(), results.runs[r].error}) {
      CAPTURE(why);
      CHECK(why.find(reasons[i]) != std::string::npos);
      CHECK(why.find(study) == std::string::npos);  // where it lies is not said
    }
    CHECK(std::ranges::any_of(merged.problems, [&](const std::string& line) {
      return line.starts_with("failed: " + plan.rows[r].run_id) && line.find(reasons[i]) != std::string::npos;
    }));
    CHECK(run_state(study, plan.rows[r].run_id) == "failed");
  }
  for (const size_t r : {2, 5}) CHECK(results.runs[r].state == RunState::kDone);

  const Outcome report = taut({"study", "report", study});
  CHECK_MESSAGE(report.code == 0, report.err);
  CHECK(read_text_file(study + "/report/runs.csv").find("is cut off or no JSON") != std::string::npos);
  CHECK(taut({"study", "status", study}).code == 0);
  const Outcome check = taut({"study", "check", study});
  CHECK_MESSAGE((check.code == 0 || check.code == 1), check.err);
}

TEST_CASE("verdicts that contradict the result are a failed run in the report, too") {
  const TempFolder folder;
  const std::string study = folder / "s";
  const Plan plan = make_study(study, {.datasets = {"fine"}, .strategies = {"full", "lp"}});
  const std::string file = study + "/runs/" + plan.rows[0].run_id + "/samples/" + checkpoint_name(8) + ".json";
  Json verdicts = read_json(file);
  for (char& c : verdicts["clean"].get_ref<std::string&>()) c = c == '1' ? '0' : '1';
  write_text(file, verdicts.dump());
  const StudyResults results = collect(plan, study);
  CHECK(results.runs[0].state == RunState::kFailed);
  CHECK(results.runs[0].error.find("clean_ok") != std::string::npos);
  CHECK(results.runs[0].points.empty());
  CHECK(results.runs[1].state == RunState::kDone);
}

TEST_CASE("submit sends a damaged run again; its worker keeps the damaged file and makes the same bytes") {
  const TempFolder folder;
  const std::string study = folder / "s";
  write_text(folder / "tiny.toml", kTinyStudy);
  REQUIRE(taut({"study", "run", folder / "tiny.toml", "--out", study}).code == 0);
  const StudyManifest manifest = open_manifest(study);
  REQUIRE(open_tasks(manifest, {}).empty());
  const std::string id = manifest.plan.rows[0].run_id, other = manifest.plan.rows[1].run_id,
                    run = study + "/runs/" + id;
  const auto whole = promised_files(run);

  const auto repaired = [&](const std::string& damage) {
    CAPTURE(damage);
    const std::vector<Task> tasks = open_tasks(manifest, {});
    REQUIRE(tasks.size() == 1);
    CHECK(tasks[0].run_id == id);
    const Outcome again = taut({"study", "run", "--manifest", study, "--run-id", id});
    CAPTURE(again.err);
    CHECK(again.code == 0);
    CHECK(again.err.find("kept as result.json.damaged-") != std::string::npos);
    CHECK(promised_files(run) == whole);
    CHECK(open_tasks(manifest, {}).empty());
  };
  write_text(run + "/result.json", "{\"a\":1");
  repaired("cut off: the last checkpoint has the rest");
  CHECK(read_text_file(run + "/result.json.damaged-1") == "{\"a\":1");

  fs::remove(run + "/samples/" + checkpoint_name(0) + ".json");  // nothing after step 0 measures it again
  repaired("verdicts are missing that the last checkpoint counts on");
  CHECK(fs::exists(run + "/result.json.damaged-2"));

  write_text(run + "/result.json", read_text_file(study + "/runs/" + other + "/result.json"));
  for (const char* part : {"1/2", "2/2"}) {
    const Outcome shared = taut({"study", "run", "--manifest", study, "--run-id", id, "--part", part});
    CHECK_MESSAGE(shared.code == 0, shared.err);
  }
  CHECK(promised_files(run) == whole);
  CHECK(fs::exists(run + "/result.json.damaged-3"));
}

TEST_CASE("a run's id that is a path is refused wherever a plan is read, and nothing lies outside the folder") {
  const TempFolder folder;
  const std::string study = folder / "s";
  const Plan plan = make_study(study, {.datasets = {"fine"}, .strategies = {"full", "lp"}});
  const std::string study_json = read_text_file(study + "/study.json"), listing = read_text_file(study + "/plan.jsonl");
  const auto renamed = [&](std::string text, const std::string& id) {
    const std::string& old = plan.rows[0].run_id;
    for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + id.size()))
      text.replace(at, old.size(), id);
    return text;
  };
  for (const std::string& id : {std::string("../../escaped"), std::string("a/b"), std::string(".."), std::string("."),
                                std::string(), std::string("a\\u0000b"), std::string("a\\nb"), std::string(256, 'a')}) {
    CAPTURE(id);
    write_text(study + "/study.json", renamed(study_json, id));
    write_text(study + "/plan.jsonl", renamed(listing, id));
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"study", "submit", study, "--executor", "print"},
          {"study", "run", "--manifest", study, "--index", "0"},
          {"study", "status", study},
          {"study", "report", study},
          {"study", "check", study},
          {"study", "merge", study, "--db", folder / "db"}}) {
      const Outcome outcome = taut(command);
      CAPTURE(command[1]);
      CAPTURE(outcome.err);
      CHECK(outcome.code == 65);
      CHECK(outcome.err.find("expected the name of a run's folder") != std::string::npos);
    }
    fs::remove(study + "/study.json");  // a plan is read from its listing, too
    const Outcome merged = taut({"study", "merge", study, "--db", folder / "db"});
    CHECK(merged.code == 65);
    CHECK(!fs::exists(study + "/manifest.json"));
    CHECK(!fs::exists(folder / "escaped"));
    CHECK(!fs::exists(folder / "db"));
  }
}

}  // namespace
}  // namespace taut::study
