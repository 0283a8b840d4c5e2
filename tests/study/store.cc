// Merging: what a store holds does not depend on the order of merging; what is not done is told, never trusted.
#include "study/store/store.h"

#include <algorithm>
#include <chrono>
#include <regex>

#include "study/analysis.h"
#include "study/collect.h"
#include "study/progress.h"
#include "study/report/report.h"
#include "study/run/directory.h"
#include "study/store/schema.h"
#include "tests/study/made_study.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

const MadeStudy kSmall{.datasets = {"fine"}, .strategies = {"full", "lp", "lora"}, .seeds = 2};

std::string bytes_of(const std::string& path) { return read_text_file(path); }

void edit(const std::string& file, const std::string& what, const std::string& with) {
  std::string text = read_text_file(file);
  const size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  text.replace(at, what.size(), with);
  write_text(file, text);
}

TEST_CASE("a store counts its runs and holds their metrics; merging again changes no byte") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  const std::string db = folder / "a.sqlite";
  const Merged merged = merge_into({folder / "s"}, db);
  CHECK(merged.runs == 6);
  CHECK(merged.done == 6);
  CHECK(merged.missing + merged.failed + merged.conflicts + merged.duplicates == 0);
  const std::string first = bytes_of(db);
  CHECK(merge_into({folder / "s"}, db).done == 6);
  CHECK(bytes_of(db) == first);
  Database store = open_store(db);
  CHECK(store.integer("SELECT COUNT(*) FROM run") == 6);
  CHECK(store.integer("SELECT COUNT(*) FROM metric") == 6 * 5 * 10);
  CHECK(store.integer("SELECT COUNT(*) FROM sample") == 6 * 5);
  CHECK(store.integer("SELECT COUNT(DISTINCT key) FROM param WHERE key = 'train.lr' OR key = 'threads'") == 1);
  CHECK(text_of(store.rows("PRAGMA integrity_check")[0][0]) == "ok");
  CHECK(store.integer("PRAGMA freelist_count") == 0);
  CHECK(strays(folder / ".").empty());
}

TEST_CASE("halves in any order, through one file or several, by folders or stores: the same bytes as at once") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "whole", kSmall);
  // Two machines did half of it each and both know the whole plan; a third has copies of two runs without a plan.
  for (const char* half : {"one", "two", "three"}) fs::create_directories(folder / half + std::string("/runs"));
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const std::string run = "/runs/" + plan.rows[i].run_id;
    const auto copy = [&](const char* to) {
      fs::copy(folder / "whole" + run, folder / to + run, fs::copy_options::recursive);
    };
    copy(i % 2 == 0 ? "one" : "two");
    if (i < 2) copy("three");
  }
  for (const char* half : {"one", "two"})
    fs::copy(folder / "whole/study.json", folder / half + std::string("/study.json"));
  merge_into({folder / "whole"}, folder / "at_once.sqlite");
  const std::string at_once = bytes_of(folder / "at_once.sqlite");

  CHECK(merge_into({folder / "one"}, folder / "a.sqlite").missing == 3);
  CHECK(merge_into({folder / "two"}, folder / "a.sqlite").done == 6);
  CHECK(merge_into({folder / "three"}, folder / "a.sqlite").duplicates == 0);  // the others are in the store
  merge_into({folder / "two"}, folder / "b.sqlite");
  merge_into({folder / "one"}, folder / "b.sqlite");
  const Merged together = merge_into({folder / "three", folder / "two", folder / "one"}, folder / "c.sqlite");
  CHECK(together.duplicates == 2);
  REQUIRE(together.problems.size() == 2);  // named, with both places
  for (const std::string& line : together.problems) {
    CHECK(line.starts_with("duplicate: "));
    CHECK(line.find("three") != std::string::npos);
  }
  CHECK(together.done == 6);
  merge_into({folder / "one"}, folder / "d1.sqlite");
  merge_into({folder / "two"}, folder / "d2.sqlite");
  merge_into({folder / "d2.sqlite", folder / "d1.sqlite"}, folder / "d.sqlite");
  for (const char* name : {"a.sqlite", "b.sqlite", "c.sqlite", "d.sqlite"}) {
    CAPTURE(name);
    CHECK(bytes_of(folder / name) == at_once);
  }
}

TEST_CASE("missing, failed, half-written, foreign, later and conflicting runs are told apart, in any order") {
  const TempFolder folder;
  MadeStudy options = kSmall;
  options.seeds = 4;  // 12 runs
  const Plan plan = make_study(folder / "s", options);
  const auto run = [&](size_t i) { return folder / "s/runs/" + plan.rows[i].run_id; };
  fs::copy(folder / "s", folder / "other", fs::copy_options::recursive);
  fs::remove(run(0) + "/result.json");  // missing
  fs::remove(run(1) + "/result.json");
  write_text(run(1) + "/failed.json", R"({"error": "the loss is not finite", "code": 70})");  // failed
  const std::string whole = read_text_file(run(2) + "/result.json");
  write_text(run(2) + "/result.json", whole.substr(0, whole.size() / 2));        // half-written
  write_text(run(3) + "/result.json", read_text_file(run(4) + "/result.json"));  // another run's
  edit(run(5) + "/result.json", "\"run_id\"", "\"schema\": 99, \"run_id\"");     // a later version's
  fs::remove(run(6) + "/samples/step-00000008.json");                            // half copied
  edit(run(7) + "/metrics.jsonl", "\"metric\":\"mean_loss_adv\"", "\"metric\":\"mean_loss_clean\"");  // a line twice
  for (const char* optional : {"\"max_perturbation\"", "\"mode\""})
    edit(run(8) + "/result.json", optional, "\"unknown\"");  // an earlier version's
  write_text(run(9) + "/result.json", "[1, 2]");             // not ours
  const Merged merged = merge_into({folder / "s"}, folder / "a.sqlite");
  CHECK(merged.runs == 12);
  CHECK(merged.missing == 1);
  CHECK(merged.failed == 7);
  CHECK(merged.done == 4);
  CHECK(merged.conflicts == 0);
  CHECK(merged.problems.size() == 8);
  std::string all;
  for (const std::string& p : merged.problems) all += p + "\n";
  for (const std::string& word : {"missing: " + plan.rows[0].run_id, std::string("the loss is not finite"),
                                  std::string("cut off"), std::string("of another run"), std::string("version 99"),
                                  std::string("step-00000008.json"), std::string("mean_loss_clean twice")}) {
    CAPTURE(word);
    CHECK(all.find(word) != std::string::npos);
  }
  Database store = open_store(folder / "a.sqlite");
  CHECK(store.integer("SELECT COUNT(*) FROM metric WHERE run_id = '" + plan.rows[7].run_id + "'") == 0);
  CHECK(store.integer("SELECT COUNT(*) FROM run WHERE mode IS NULL AND state = 'done'") == 1);
  CHECK(store.integer("SELECT COUNT(*) FROM run WHERE error LIKE '%" + folder / "" + "%'") == 0);  // no place

  // The untouched copy heals all of them but the one of an earlier version: its bytes differ now.
  CHECK(merge_into({folder / "other"}, folder / "a.sqlite").conflicts == 1);
  const Merged conflict = merge_into({folder / "other", folder / "s"}, folder / "b.sqlite");
  CHECK(conflict.done == 11);
  CHECK(conflict.conflicts == 1);
  CHECK(conflict.problems[0].find(plan.rows[8].run_id) != std::string::npos);
  CHECK(conflict.problems[0].find("/other/runs/") != std::string::npos);
  CHECK(bytes_of(folder / "a.sqlite") == bytes_of(folder / "b.sqlite"));
  Database second = open_store(folder / "b.sqlite");
  CHECK(second.integer("SELECT COUNT(*) FROM conflict") == 2);
  CHECK(second.integer("SELECT COUNT(*) FROM point WHERE run_id = '" + plan.rows[8].run_id + "'") == 0);
  // A conflict stays one, whichever version comes again.
  CHECK(merge_into({folder / "s"}, folder / "b.sqlite").conflicts == 1);
  CHECK(bytes_of(folder / "a.sqlite") == bytes_of(folder / "b.sqlite"));
}

TEST_CASE("areas by SQL are the report's, run by run to the last bit") {
  const TempFolder folder;
  MadeStudy options = kSmall;
  options.datasets = {"fine", "easy"};
  options.steps = {0, 1, 2, 4, 8, 16, 32, 64};
  const Plan plan = make_study(folder / "s", options);
  const StudyResults results = collect(plan, folder / "s");
  const Analysis analysis = analyse(results, {.resamples = 50});
  merge_into({folder / "s"}, folder / "a.sqlite");
  Database store = open_store(folder / "a.sqlite");
  for (size_t r = 0; r < results.runs.size(); ++r) {
    const auto rows = store.rows("SELECT area, final_clean FROM v_run WHERE run_id = ?", {results.runs[r].run_id});
    REQUIRE(rows.size() == 1);
    CHECK(number_of(rows[0][0]) == analysis.run_area[r]);
    CHECK(number_of(rows[0][1]) == trade_off(results.runs[r], Judged::kLastIterate).back().clean);
    const auto front = store.rows(
        "SELECT clean, robust FROM v_front WHERE run_id = ? AND judged = 'last' "
        "ORDER BY clean DESC",
        {results.runs[r].run_id});
    const auto expected = pareto_front(trade_off(results.runs[r], Judged::kLastIterate));
    REQUIRE(front.size() == expected.size());
    for (size_t i = 0; i < front.size(); ++i)
      CHECK((number_of(front[i][0]) == expected[i].clean && number_of(front[i][1]) == expected[i].robust));
  }
  for (const DatasetSummary& dataset : analysis.datasets) {
    std::vector<double> raw;
    for (const StrategySummary& s : dataset.strategies) raw.push_back(s.area.raw);
    const std::vector<double> percent = percent_above_average(raw);
    for (size_t s = 0; s < dataset.strategies.size(); ++s) {
      const StrategySummary& summary = dataset.strategies[s];
      const auto rows = store.rows(
          "SELECT area, area_best_iterate, runs, percent_above_average FROM v_area WHERE dataset = ? AND strategy = ?",
          {dataset.dataset, summary.strategy});
      REQUIRE(rows.size() == 1);
      CHECK(number_of(rows[0][0]) == doctest::Approx(summary.area.raw).epsilon(1e-12));
      CHECK(number_of(rows[0][1]) == doctest::Approx(summary.area_best.raw).epsilon(1e-12));
      CHECK(integer_of(rows[0][2]) == 2);
      CHECK(number_of(rows[0][3]) == doctest::Approx(percent[s]).epsilon(1e-9));
    }
  }
  const auto best = store.rows("SELECT strategy FROM v_leaderboard WHERE dataset = 'easy' AND place = 1");
  REQUIRE(best.size() == 1);
  const auto& easy = analysis.datasets[1].strategies;
  const auto most =
      std::max_element(easy.begin(), easy.end(), [](const auto& a, const auto& b) { return a.area.raw < b.area.raw; });
  CHECK(text_of(best[0][0]) == most->strategy);
  CHECK(store.integer("SELECT COUNT(*) FROM v_trajectory") == 2 * 3 * 8);
  CHECK(store.integer("SELECT SUM(done) FROM v_state") == 12);
}

TEST_CASE("a file that is no store of ours is refused and left alone") {
  const TempFolder folder;
  make_study(folder / "s", {.datasets = {"fine"}, .strategies = {"lp"}});
  const auto refused = [&](const std::string& name, const std::string& word) {
    const std::string before = bytes_of(folder / name);
    const Error error = error_of([&] { merge_into({folder / "s"}, folder / name); });
    CAPTURE(error.what());
    CHECK(error.code() == Exit::kBadData);
    CHECK(std::string(error.what()).find(word) != std::string::npos);
    CHECK(std::string(error.what()).find(name) != std::string::npos);
    CHECK(bytes_of(folder / name) == before);
  };
  write_text(folder / "notes.txt", std::string(5000, 'x'));
  refused("notes.txt", "no results store");
  write_text(folder / "empty", "");
  refused("empty", "no results store");
  Database other = Database::in_memory();
  other.run("CREATE TABLE run (a)");
  write_text(folder / "other.sqlite", other.bytes());
  refused("other.sqlite", "no results store");
  Database old = Database::in_memory();
  make_store(old);
  old.run("PRAGMA user_version = 77");
  write_text(folder / "old.sqlite", old.bytes());
  refused("old.sqlite", "got 77");
  merge_into({folder / "s"}, folder / "cut.sqlite");
  write_text(folder / "cut.sqlite", bytes_of(folder / "cut.sqlite").substr(0, 20000));
  const Error cut = error_of([&] { merge_into({folder / "s"}, folder / "cut.sqlite"); });
  CHECK(cut.code() == Exit::kBadData);
  CHECK(error_of([&] { merge_into({folder / "nowhere"}, folder / "x.sqlite"); }).code() == Exit::kMissing);
  fs::create_directories(folder / "bare");
  CHECK(error_of([&] { merge_into({folder / "bare"}, folder / "x.sqlite"); }).code() == Exit::kMissing);
  write_text(folder / "bad/study.json", R"({"rows": [{"run_id": 3}]})");
  CHECK(error_of([&] { merge_into({folder / "bad"}, folder / "x.sqlite"); }).code() == Exit::kBadData);
  CHECK(!fs::exists(folder / "x.sqlite"));
}

TEST_CASE("a full disk: the store of before stays, nothing half-written appears, the code says I/O") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  const std::string db = folder / "a.sqlite";
  fs::rename(folder / "s/runs/" + plan.rows[0].run_id, folder / "aside");
  CHECK(merge_into({folder / "s"}, db).missing == 1);
  fs::rename(folder / "aside", folder / "s/runs/" + plan.rows[0].run_id);
  const std::string before = bytes_of(db);
  // A limit on the size of files refuses writes as a full disk does; SIGXFSZ ignored, write(2) fails with EFBIG.
  const Outcome full = taut({"study", "merge", folder / "s", "--db", db}, "trap '' XFSZ; ulimit -f 16;");
  CAPTURE(full.err);
  CHECK(full.code == 74);
  CHECK(full.err.find("a.sqlite") != std::string::npos);
  CHECK(bytes_of(db) == before);
  CHECK(strays(folder / ".").empty());
  const Outcome report = taut({"study", "report", folder / "s"}, "trap '' XFSZ; ulimit -f 8;");
  CHECK(report.code == 74);
  CHECK(strays(folder / ".").empty());
}

TEST_CASE("the command: one row, the code, and the list of what is not done on standard error") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  const Outcome all = taut({"study", "merge", folder / "s", "--db", folder / "a.sqlite", "-o", "json"});
  CAPTURE(all.err);
  CHECK(all.code == 0);
  const Json row = Json::parse(all.out).at(0);
  CHECK(row.at("runs") == 6);
  CHECK(row.at("done") == 6);
  for (const char* field : {"missing", "failed", "conflicts", "duplicates"}) CHECK(row.at(field) == 0);
  fs::remove(folder / "s/runs/" + plan.rows[2].run_id + "/result.json");
  const Outcome one = taut({"study", "merge", folder / "s", "--db", folder / "b.sqlite", "-o", "json"});
  CHECK(one.code == 1);
  CHECK(Json::parse(one.out).at(0).at("missing") == 1);
  CHECK(one.err.find("missing: " + plan.rows[2].run_id) != std::string::npos);
  CHECK(taut({"study", "merge", folder / "s"}).code == 2);
  CHECK(taut({"study", "merge", folder / "s", "--db", "/proc/none/a.sqlite"}).code == 74);
}

// Merges and reports a made study of seeds x 35 runs; returns the bytes of the report.
uint64_t merge_and_report(int64_t seeds, int64_t resamples) {
  const TempFolder folder;
  MadeStudy options;
  options.datasets = {"c10", "c100", "caltech", "cub", "dogs"};
  options.seeds = seeds;
  const Plan plan = make_study(folder / "s", options);
  const auto runs = static_cast<int64_t>(plan.rows.size());
  CHECK(runs == 35 * seeds);
  const auto begin = std::chrono::steady_clock::now();
  const Merged merged = merge_into({folder / "s"}, folder / "a.sqlite");
  CHECK(merged.done == runs);
  const double merging = seconds_since(begin);
  Database store = open_store(folder / "a.sqlite");
  CHECK(store.integer("SELECT COUNT(*) FROM metric") == runs * 50);
  CHECK(store.integer("SELECT COUNT(*) FROM v_area") == 35);
  const StudyResults results = collect(plan, folder / "s");
  write_report(results, analyse(results, {.resamples = resamples}), folder / "report");
  uint64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "report"))
    if (entry.is_regular_file()) bytes += entry.file_size();
  MESSAGE(runs << " runs merged in " << merging << " s into " << fs::file_size(folder / "a.sqlite")
               << " bytes; all with the report in " << seconds_since(begin) << " s; the report has " << bytes
               << " bytes");
  return bytes;
}

TEST_CASE("a study of hundreds of runs has a small report") { CHECK(merge_and_report(8, 100) < 5'000'000); }

TEST_CASE("slow: ten thousand runs merge, and their report stays under 20 MB" * doctest::skip()) {
  CHECK(merge_and_report(286, 2000) < 20'000'000);
}

TEST_CASE("every statement that docs/results_store.md shows works") {
  const TempFolder folder;
  make_study(folder / "s", kSmall);
  merge_into({folder / "s"}, folder / "a.sqlite");
  Database store = open_store(folder / "a.sqlite");
  const std::string text = read_text_file(std::string(TAUT_SOURCE_DIR) + "/docs/results_store.md");
  const std::regex block("```sql\n([^`]*)```");
  int64_t statements = 0;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), block); it != std::sregex_iterator(); ++it) {
    std::string sql = (*it)[1];
    for (size_t end = sql.find(';'); end != std::string::npos; end = sql.find(';')) {
      CAPTURE(sql.substr(0, end));
      CHECK(!store.rows(sql.substr(0, end)).empty());
      sql.erase(0, end + 1);
      ++statements;
    }
  }
  CHECK(statements >= 4);
  for (const std::string& table : store_tables()) CHECK(text.find("`" + table + "`") != std::string::npos);
  for (const SqlRow& view : store.rows("SELECT name FROM sqlite_schema WHERE type = 'view'"))
    CHECK(text.find("`" + text_of(view[0]) + "`") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
