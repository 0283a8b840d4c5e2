// The report as a whole: what every reader of its files relies on.
#include "study/report/report.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/report/script.h"
#include "study/report/tables.h"
#include "tests/report/synthetic.h"

namespace taut::study {
namespace {

const BootstrapOptions kQuick{.resamples = 200, .seed = 0};

std::map<std::string, std::string> files_of(const StudyResults& results) {
  std::map<std::string, std::string> files;
  for (const ReportFile& file : report_files(results, analyse(results, kQuick))) files[file.path] = file.text;
  return files;
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

// Rows of a CSV without quoted fields.
std::vector<std::map<std::string, std::string>> rows_of(const std::string& csv) {
  std::vector<std::map<std::string, std::string>> rows;
  std::vector<std::string> head;
  std::istringstream lines(csv);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields(1);
    for (char c : line) {
      if (c == ',') {
        fields.emplace_back();
      } else {
        fields.back() += c;
      }
    }
    if (head.empty()) {
      head = fields;
      continue;
    }
    REQUIRE(fields.size() == head.size());
    for (size_t i = 0; i < head.size(); ++i) {
      if (i == 0) rows.emplace_back();
      rows.back()[head[i]] = fields[i];
    }
  }
  return rows;
}

TEST_CASE("areas.csv keeps its promise: low <= area <= high in [0, 1], between the bounds, percent around zero") {
  const auto rows = rows_of(files_of(synthetic_results())["areas.csv"]);
  CHECK(rows.size() == 14);
  std::map<std::string, double> percent;
  std::map<std::string, int> best;
  for (auto row : rows) {
    const double area = std::stod(row["area"]), low = std::stod(row["low"]), high = std::stod(row["high"]);
    CHECK(0 <= low);
    CHECK(low <= area);
    CHECK(area <= high);
    CHECK(high <= 1);
    CHECK(std::stod(row["lower_bound"]) <= std::stod(row["area_raw"]));
    CHECK(std::stod(row["area_raw"]) <= std::stod(row["upper_bound"]));
    CHECK(std::stod(row["area_best_iterate_raw"]) <= std::stod(row["area_raw"]));
    CHECK(std::stod(row["union_area"]) == doctest::Approx(std::stod(row["area_raw"])));  // of one run
    CHECK(area == doctest::Approx(std::stod(row["area_raw"]) - std::stod(row["bias"])));
    percent[row["dataset"]] += std::stod(row["percent_above_average"]);
    best[row["dataset"]] += row["best"] == "true";
  }
  for (const auto& [dataset, sum] : percent) {
    CHECK(sum == doctest::Approx(0).epsilon(1e-6));
    CHECK(best[dataset] == 1);
  }
}

TEST_CASE("several runs of a strategy: their mean, their spread, the union at least as large as each") {
  SyntheticOptions options;
  options.seeds = 3;
  options.strategies = {"full", "lp"};
  const StudyResults results = synthetic_results(options);
  const Analysis analysis = analyse(results, kQuick);
  for (const DatasetSummary& dataset : analysis.datasets) {
    CHECK(dataset.pairs.size() == 1);
    for (const StrategySummary& s : dataset.strategies) {
      REQUIRE(s.runs.size() == 3);
      double mean = 0, most = 0;
      for (size_t r : s.runs) {
        mean += analysis.run_area[r] / 3;
        most = std::max(most, analysis.run_area[r]);
      }
      CHECK(s.area.raw == doctest::Approx(mean));
      CHECK(s.alternatives.hypervolume == doctest::Approx(mean));
      CHECK(s.union_area >= most);
      REQUIRE(s.run_sd.has_value());
      CHECK(*s.run_sd > 0);
    }
  }
  CHECK(rows_of(files_of(results)["runs.csv"]).size() == 12);
}

TEST_CASE("pairs: the difference of a strategy with itself under another name is zero, and decides nothing") {
  SyntheticOptions options;
  options.strategies = {"full"};
  options.datasets = {"fine"};
  StudyResults results = synthetic_results(options);
  results.runs.push_back(results.runs[0]);
  results.runs[1].strategy = "twin";
  const Analysis analysis = analyse(results, kQuick);
  REQUIRE(analysis.datasets[0].pairs.size() == 1);
  const PairComparison& pair = analysis.datasets[0].pairs[0];
  CHECK(pair.difference.value == 0);
  CHECK(pair.share == 1);
  CHECK(!pair.disjoint);
  CHECK(analysis.findings[0].find("the table decides nothing") != std::string::npos);
}

TEST_CASE("points.csv holds every evaluation, fronts.csv only points that no other dominates") {
  const StudyResults results = synthetic_results();
  auto files = files_of(results);
  const auto points = rows_of(files["points.csv"]);
  CHECK(points.size() == 14 * 7);
  for (auto row : points) {
    CHECK(std::stod(row["clean_low"]) <= std::stod(row["clean_accuracy"]));
    CHECK(std::stod(row["clean_accuracy"]) <= std::stod(row["clean_high"]));
    CHECK(std::stoi(row["robust_best_correct"]) <= std::stoi(row["robust_last_correct"]));
    CHECK(!row["shifted_rotated_n"].empty());
  }
  for (auto front : rows_of(files["fronts.csv"])) {
    for (auto row : points) {
      if (row["run_id"] != front["run_id"]) continue;
      const double clean = std::stod(row["clean_accuracy"]), robust = std::stod(row["robust_last_accuracy"]);
      const double a = std::stod(front["clean_accuracy"]), r = std::stod(front["robust_accuracy"]);
      CHECK(!(clean >= a && robust >= r && (clean > a || robust > r)));
    }
  }
}

TEST_CASE("pages stand alone: only our script, nothing loaded from outside, every link leads to a file of the report") {
  auto files = files_of(synthetic_results());
  const std::regex attribute("(src|href)=\"([^\"]*)\"");
  size_t links = 0;
  std::string all;
  for (const std::string name : {"index.html", "01-fine.html", "02-easy.html"}) {
    CAPTURE(name);
    REQUIRE(files.contains(name));
    const std::string& page = files[name];
    all += page;
    const size_t drawings = name == "index.html" ? 2 : 5;  // areas of two data sets; five figures for one
    CHECK(count(page, "<svg") == drawings);
    CHECK(count(page, "</svg>") == drawings);
    CHECK(count(page, "<script") == 1);
    CHECK(count(page, kReportScript) == 1);
    CHECK(!std::regex_search(page, std::regex("<[a-z]+ [^>]*\\bon[a-z]+=")));  // no event handler
    CHECK(count(page, "@import") == 0);
    CHECK(count(page, "url(") == 0);
    CHECK(count(page, "<link") == 0);
    for (auto it = std::sregex_iterator(page.begin(), page.end(), attribute); it != std::sregex_iterator(); ++it) {
      const std::string kind = (*it)[1], target = (*it)[2];
      CAPTURE(target.substr(0, 60));
      const size_t anchor = target.find('#');
      const std::string file = anchor == 0 ? name : target.substr(0, anchor);
      if (kind == "src") {
        CHECK(target.starts_with("data:image/png;base64,"));
      } else {
        REQUIRE(files.contains(file));
        if (anchor != std::string::npos)
          CHECK(files[file].find("id=\"" + target.substr(anchor + 1) + "\"") != std::string::npos);
      }
      ++links;
    }
  }
  CHECK(links > 60);
  for (const char* text : {"2 of 14", "hinted", "25 of 256 steps, scaled", "multiplied by 15.9", "re-judge",
                           "Figure 5.", "study/presets/demo.toml", "8.00/255", "Every planned run is done."}) {
    CAPTURE(text);
    CHECK((std::string(text) == "2 of 14") == (all.find(text) == std::string::npos));
  }
}

TEST_CASE("the same bytes again, and for any number of threads") {
  const int before = num_threads();
  set_num_threads(1);
  const auto one = files_of(synthetic_results());
  set_num_threads(4);
  const auto four = files_of(synthetic_results());
  set_num_threads(before);
  CHECK(one == four);
}

TEST_CASE("runs that are not done are shown with their state and enter nothing") {
  StudyResults results = synthetic_results();
  results.runs[0].state = RunState::kFailed;
  results.runs[0].error = "[train] the loss is not finite";
  results.runs[0].points.resize(2);
  results.runs[1].state = RunState::kTodo;
  results.runs[1].points.clear();
  results.runs[2].checks[1].pass = false;
  results.runs.erase(results.runs.begin() + 13);  // bitfit on easy is not planned at all
  const Analysis analysis = analyse(results, kQuick);
  auto files = files_of(results);
  CHECK(rows_of(files["areas.csv"]).size() == 11);
  CHECK(rows_of(files["points.csv"]).size() == 2 + 11 * 7);
  const auto runs = rows_of(files["runs.csv"]);
  CHECK(runs.size() == 13);
  const std::string table = area_table_markdown(results, analysis);
  for (const char* text : {"| failed |", "| todo |", "| not planned |", "2 of 13 planned runs are not done",
                           "1 of 39 checks did NOT hold"}) {
    CAPTURE(text);
    CHECK(table.find(text) != std::string::npos);
  }
  CHECK(files["index.html"].find("after step 8 of 256: [train] the loss is not finite") != std::string::npos);
}

TEST_CASE("a study without any done run still has a report that says so") {
  StudyResults results = synthetic_results();
  for (RunResult& run : results.runs) {
    run.state = RunState::kTodo;
    run.points.clear();
    run.samples.clear();
    run.checks.clear();
  }
  auto files = files_of(results);
  CHECK(files["01-fine.html"].find("No run is done, so there is nothing to draw.") != std::string::npos);
  CHECK(files["index.html"].find("14 of 14 runs are not done") != std::string::npos);
  CHECK(count(files["index.html"], "<svg") == 0);
  CHECK(rows_of(files["areas.csv"]).empty());
  CHECK(files_of(StudyResults{}).contains("index.html"));
}

TEST_CASE("one evaluation at step 0, one image, an unknown strategy: degenerate but drawn") {
  SyntheticOptions options;
  options.datasets = {"tiny"};
  options.strategies = {"prompt-tuning"};
  options.steps = {0};
  options.images = 1;
  auto files = files_of(synthetic_results(options));
  CHECK(count(files["01-tiny.html"], "<svg") == 5);
  for (const auto& [path, text] : files) {
    CAPTURE(path);
    if (path.ends_with(".svg")) CHECK(text.find("nan") == std::string::npos);
    if (path.ends_with(".svg")) CHECK(text.find("inf") == std::string::npos);
  }
}

TEST_CASE("hostile names stay text everywhere") {
  SyntheticOptions options;
  options.datasets = {"../<script>alert(1)</script>", "../<script>alert(1)</script>2"};
  options.strategies = {"=cmd|'/c calc'!A1", "\"><img src=x onerror=alert(1)>"};
  StudyResults results = synthetic_results(options);
  results.title = results.mode = results.attack = "</title><script>alert(2)</script>";
  for (RunResult& run : results.runs) {
    run.run_id = "@" + run.run_id;
    run.class_names = {"<b>", "&", "'", "\"", "\xFF"};
    run.variant = run.recipe = run.warm_up = run.error = "<script>alert(3)</script>";
    run.checks[0].name = run.checks[0].value = "<script>alert(4)</script>";
    for (Point& point : run.points) point.shifted[0].domain = "<script>alert(5)</script>";
  }
  results.settings[0] = {"<script>", "<script>", true};
  results.notes[0] = results.commands[0] = "<script>";
  auto files = files_of(results);
  size_t figures = 0, pages = 0;
  for (const auto& [path, text] : files) {
    CAPTURE(path);
    CHECK(path.find("..") == std::string::npos);
    if (path.ends_with(".svg")) CHECK(text.find("<script") == std::string::npos);
    if (path.ends_with(".html")) {
      CHECK(count(text, "<script") == 1);
      CHECK(text.find("<script>alert") == std::string::npos);
      CHECK(text.find("<img src=x") == std::string::npos);
      ++pages;
    }
    if (path.ends_with(".csv")) {
      CHECK(text.find("\n=") == std::string::npos);
      CHECK(text.find("\n@") == std::string::npos);
      CHECK(text.find(",=") == std::string::npos);
    }
    figures += path.starts_with("figures/");
  }
  CHECK(figures == 10);  // the two data sets do not overwrite each other's
  CHECK(pages == 3);
}

TEST_CASE("results that contradict themselves are refused with run and step") {
  const auto refused = [](const char* message, const std::function<void(RunResult&)>& spoil) {
    SyntheticOptions options;
    options.datasets = {"fine"};
    options.strategies = {"full"};
    StudyResults results = synthetic_results(options);
    results.runs[0].run_id = "fine-full";
    spoil(results.runs[0]);
    try {
      report_files(results, analyse(results, kQuick));
      FAIL("accepted: " << message);
    } catch (const Error& error) {
      CHECK(error.code() == Exit::kBadData);
      CHECK(std::string(error.what()).find("run fine-full") != std::string::npos);
      CHECK(std::string(error.what()).find(message) != std::string::npos);
    }
  };
  refused("step 8: expected 500 flags clean_ok with", [](RunResult& run) { ++run.points[1].clean_correct; });
  refused("step 16: expected 500 flags robust_last_ok",
          [](RunResult& run) { run.points[2].robust_last_ok.pop_back(); });
  refused("step 0: expected 500 flags robust_best_ok", [](RunResult& run) { run.points[0].robust_best_ok[0] = 2; });
  refused("ascending steps, got 8 after 8", [](RunResult& run) { run.points[2].step = 8; });
  refused("a done run to have points", [](RunResult& run) { run.points.clear(); });
  refused("the same images at every point", [](RunResult& run) { run.points[3].n = 400; });
  refused("a count of shifted images", [](RunResult& run) { run.points[1].shifted[0].correct = 501; });
  refused("sample images of 576 values", [](RunResult& run) { run.samples[0].adversarial.pop_back(); });
}

TEST_CASE("writing: all files, no temporary ones, stale figures gone, other files left alone") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("taut-test-report-" + std::to_string(getpid()));
  fs::remove_all(folder);
  StudyResults results = synthetic_results();
  write_report(results, analyse(results, kQuick), folder.string());
  std::ofstream(folder / "figures" / "mine.txt") << "keep";
  results.runs.resize(7);  // the second data set is gone
  const std::string index = write_report(results, analyse(results, kQuick), folder.string());
  CHECK(index == (folder / "index.html").string());
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) files += entry.is_regular_file();
  CHECK(files == 8 + 5 + 2 + 1);
  CHECK(!fs::exists(folder / "02-easy.html"));
  CHECK(fs::exists(folder / "figures" / "mine.txt"));
  CHECK(!fs::exists(folder / "figures" / "02-easy-plane.svg"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace taut::study
