// Runs that attack nothing count clean images where robust ones would stand: no view, export or report may show those
// as measured, while clean accuracy and that on other domains stay.
#include <algorithm>
#include <cmath>
#include <map>

#include "study/analysis.h"
#include "study/collect.h"
#include "study/export/export.h"
#include "study/report/report.h"
#include "study/run/directory.h"
#include "study/store/store.h"
#include "tests/study/made_study.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

const MadeStudy kHalf{.datasets = {"fine", "real"}, .strategies = {"full", "lora"}, .unattacked = {"real"}};
constexpr int64_t kEnd = 64;  // the last step
constexpr double kOutOfDomain = (30 + kEnd % 7 + kEnd % 5) / 80.0;

std::map<std::string, std::string> exported(Database& store, void (*write)(Database&, const ExportSink&)) {
  std::map<std::string, std::string> files;
  write(store, [&](const std::string& path, const std::string& bytes) { files[path] = bytes; });
  return files;
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) c == ',' ? cells.emplace_back() : cells.back() += c;
  return cells;
}

// A row a line, by the names of the first one; without quoted cells.
std::vector<std::map<std::string, std::string>> table_of(const std::string& csv) {
  const std::vector<std::string> lines = lines_of(csv), head = cells_of(lines.at(0));
  std::vector<std::map<std::string, std::string>> rows;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = cells_of(lines[i]);
    REQUIRE(cells.size() == head.size());
    for (size_t c = 0; c < head.size(); ++c) (c == 0 ? rows.emplace_back() : rows.back())[head[c]] = cells[c];
  }
  return rows;
}

bool holds(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

TEST_CASE("the views know no robust accuracy, area or place of a run that was not attacked") {
  const TempFolder folder;
  make_study(folder / "s", kHalf);
  Database store = store_of({folder / "s"});
  CHECK(store.integer("SELECT COUNT(*) FROM v_attacked") == 2);
  CHECK(store.integer("SELECT COUNT(*) FROM v_leaderboard WHERE dataset = 'fine' AND place IN (1, 2) AND area > 0 AND "
                      "final_robust > 0 AND final_out_of_domain IS NULL") == 2);
  const auto rows = store.rows(
      "SELECT place, area, percent_above_average, final_robust, peak_robust, final_clean, final_out_of_domain, runs "
      "FROM v_leaderboard WHERE dataset = 'real'");
  REQUIRE(rows.size() == 2);
  for (const SqlRow& row : rows) {
    for (size_t c = 0; c < 5; ++c) CHECK(is_null(row[c]));
    CHECK(number_of(row[5]) > 0.5);
    CHECK(number_of(row[6]) == doctest::Approx(kOutOfDomain));
    CHECK(integer_of(row[7]) == 1);
  }
  CHECK(store.integer("SELECT COUNT(*) FROM v_front JOIN run USING (run_id) WHERE dataset = 'real'") == 0);
  CHECK(store.integer("SELECT COUNT(*) FROM v_area WHERE dataset = 'real'") == 0);
  CHECK(
      store.integer("SELECT COUNT(*) FROM v_run WHERE dataset = 'real' AND area IS NULL AND area_best_iterate IS NULL "
                    "AND final_robust IS NULL AND final_clean > 0") == 2);
  CHECK(store.integer("SELECT COUNT(*) FROM v_point WHERE dataset = 'real' AND robust_last IS NULL AND robust_best IS "
                      "NULL AND mean_loss_adv IS NULL AND clean IS NOT NULL AND out_of_domain IS NOT NULL") == 10);
  CHECK(store.integer("SELECT COUNT(*) FROM v_trajectory WHERE dataset = 'real' AND robust IS NULL AND clean > 0") ==
        10);
  CHECK(store.integer("SELECT COUNT(*) FROM v_trajectory WHERE dataset = 'fine' AND robust IS NOT NULL") == 10);
}

TEST_CASE("no export gives a run that was not attacked a robust accuracy, loss or area; out of domain is there") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kHalf);
  Database store = store_of({folder / "s"});
  for (const auto& [name, text] : exported(store, export_study_json)) {
    CAPTURE(name);
    const Json last = Json::parse(text).back();
    const bool attacked = name.starts_with("fine");
    CHECK(last.at("pgd_adv_acc").is_null() != attacked);
    CHECK(last.at("pgd_loss").is_null() != attacked);
    CHECK(last.at("test_clean_acc").get<double>() > 0.5);
    CHECK(last.contains("ood_clean_acc") != attacked);
    if (!attacked) CHECK(last.at("ood_clean_acc").get<double>() == doctest::Approx(kOutOfDomain));
  }
  for (auto row : table_of(exported(store, export_timm_csv).at(""))) {
    const bool attacked = row.at("dataset") == "fine";
    for (const char* name : {"robust_top1", "robust_best_top1", "area"}) CHECK(row.at(name).empty() != attacked);
    CHECK(row.at("attack") == (attacked ? "pgd" : "none"));
    CHECK(row.at("ood_top1") == (attacked ? "" : fmt::format("{:.3f}", 100 * kOutOfDomain)));
    CHECK(!row.at("top1").empty());
  }
  const auto cards = exported(store, export_robustbench);
  CHECK(cards.size() == 2);
  for (const auto& [name, text] : cards) CHECK(name.starts_with("fine"));
  for (const auto& [name, bytes] : exported(store, export_tensorboard)) {
    const bool attacked = name.starts_with("fine");
    for (const char* tag :
         {"robust_last_accuracy", "robust_best_accuracy", "mean_loss_adv", "max_perturbation", "zero_gradient_share"})
      CHECK(holds(bytes, tag) == attacked);
    CHECK(holds(bytes, "test/clean_accuracy"));
    CHECK(holds(bytes, "out_of_domain/clean_accuracy") != attacked);
  }
  for (const auto& [name, text] : exported(store, export_vega_lite)) {
    CAPTURE(name);
    CHECK(holds(text, "\"fine\""));
    CHECK(!holds(text, "\"real\""));
  }
}

TEST_CASE("the report says not attacked where a robust accuracy or an area would stand") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kHalf);
  const StudyResults results = collect(plan, folder / "s");
  const Analysis analysis = analyse(results, {.resamples = 50});
  std::map<std::string, std::string> files;
  for (const ReportFile& file : report_files(results, analysis)) files[file.path] = file.text;
  CHECK(results.attack.starts_with("PGD-15"));
  for (const char* name : {"areas.csv", "pairs.csv", "fronts.csv"}) {
    CAPTURE(name);
    CHECK(holds(files.at(name), "fine"));
    CHECK(!holds(files.at(name), "real"));
  }
  CHECK(holds(files.at("table.md"), "| not attacked |"));
  CHECK(holds(files.at("table.md"), "real: not attacked, so there is no robust accuracy and no area."));
  for (auto row : table_of(files.at("points.csv"))) {
    const bool attacked = row.at("dataset") == "fine";
    for (const char* kind : {"robust_last", "robust_best"})
      for (const char* column : {"correct", "accuracy", "low", "high"})
        CHECK(row.at(fmt::format("{}_{}", kind, column)).empty() != attacked);
    CHECK(row.at("mean_loss_adv").empty() != attacked);
    CHECK(!row.at("clean_accuracy").empty());
    CHECK(row.at("shifted_sketch_correct").empty() == attacked);
  }
  for (auto row : table_of(files.at("runs.csv"))) {
    const bool attacked = row.at("dataset") == "fine";
    CHECK(row.at("attacked") == (attacked ? "true" : "false"));
    for (const char* name : {"hypervolume", "peak_robust_accuracy", "peak_step", "final_robust_accuracy"})
      CHECK(row.at(name).empty() != attacked);
    CHECK(!row.at("final_clean_accuracy").empty());
  }
  for (const char* kind : {"plane", "areas", "fronts"}) {
    CHECK(files.contains(fmt::format("figures/01-fine-{}.svg", kind)));
    CHECK(!files.contains(fmt::format("figures/02-real-{}.svg", kind)));
  }
  CHECK(holds(files.at("figures/01-fine-trajectories.svg"), "robust accuracy"));
  CHECK(!holds(files.at("figures/02-real-trajectories.svg"), "robust"));
  CHECK(holds(files.at("figures/02-real-trajectories.svg"), "clean accuracy"));
  CHECK(files.contains("figures/02-real-domains.svg"));
  CHECK(holds(files.at("domains.csv"), "real,full,all together,clean"));
  CHECK(holds(files.at("02-real.html"), "Not attacked: accuracy on images as they are."));
  CHECK(holds(files.at("02-real.html"), "<td>not attacked</td>"));
  CHECK(!holds(files.at("02-real.html"), "Trade-off"));
  CHECK(holds(files.at("index.html"), "not attacked</span>"));
  CHECK(holds(files.at("index.html"), "Not attacked: no robust accuracy, no area."));
  CHECK(holds(files.at("index.html"), "Every planned run is done."));
}

TEST_CASE("where some settings of a data set are attacked and others are not, areas are of those that are") {
  const TempFolder folder;
  MadeStudy options = kHalf;
  options.datasets = {"fine"};
  options.seeds = 2;
  const Plan plan = make_study(folder / "s", options);
  StudyResults results = collect(plan, folder / "s");
  const Analysis all = analyse(results, {.resamples = 50});
  results.runs[0].attacked = false;
  REQUIRE(results.runs[0].strategy == results.runs[1].strategy);
  const Analysis some = analyse(results, {.resamples = 50});
  CHECK(some.run_area[0] == -1);
  const StrategySummary& full = some.datasets[0].strategies[0];
  CHECK(full.done == 1);
  CHECK(full.unattacked == 1);
  CHECK(full.area.raw == all.run_area[1]);
  CHECK(some.datasets[0].pairs.size() == 1);
}

TEST_CASE("the row that a run ends with has robust counts where it was attacked, and else none") {
  const TempFolder folder;
  write_text(folder / "tiny.toml", kTinyStudy);
  const auto row_of = [](const Outcome& o) {
    REQUIRE_MESSAGE(o.code == 0, o.err);
    return Json::parse(o.out).at(0);
  };
  const std::vector<std::string> robust = {"robust_last_correct", "robust_best_correct", "mean_loss_adv",
                                           "max_perturbation"};
  for (const std::string name : {"pgd", "none"}) {
    CAPTURE(name);
    const std::string out = folder / name;
    REQUIRE(taut({"study", "submit", folder / "tiny.toml", "--out", out, "attack.name=" + name}).code == 0);
    for (const Json& row : {row_of(taut({"train", "-c", folder / "tiny.toml", "attack.name=" + name, "--out",
                                         out + "-run", "-o", "json"})),
                            row_of(taut({"study", "run", "--manifest", out, "--index", "0", "-o", "json"}))}) {
      CHECK(row.at("clean_correct").is_number_integer());
      CHECK(row.at("mean_loss_clean").is_number());
      for (const std::string& field : robust) CHECK(row.at(field).is_null() == (name == "none"));
    }
  }
}

}  // namespace
}  // namespace taut::study
