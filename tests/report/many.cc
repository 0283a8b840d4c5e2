// The report of a large study: it stays readable and small, and says what it left out.
#include <doctest/doctest.h>
#include <zlib.h>

#include <map>

#include "study/report/drawn.h"
#include "study/report/report.h"
#include "study/report/tables.h"
#include "tests/report/synthetic.h"

namespace taut::study {
namespace {

std::map<std::string, std::string> files_of(const StudyResults& results) {
  std::map<std::string, std::string> files;
  for (const ReportFile& file : report_files(results, analyse(results, {.resamples = 50})))
    files[file.path] = file.text;
  return files;
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

std::string unzipped(const std::string& bytes) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(bytes.size() * 60, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST_CASE("thinning keeps both ends, even distances, and everything where there is little") {
  CHECK(thinned(3, 20) == std::vector<size_t>{0, 1, 2});
  CHECK(thinned(0, 20).empty());
  const std::vector<size_t> some = thinned(1'000'000, 300);
  REQUIRE(some.size() == 300);
  CHECK(some.front() == 0);
  CHECK(some.back() == 999'999);
  for (size_t i = 1; i < some.size(); ++i) {
    CHECK(some[i] - some[i - 1] >= 3344);
    CHECK(some[i] - some[i - 1] <= 3345);
  }
}

TEST_CASE("hundreds of runs: bundles and dots instead of markers, one row a run, tables in files") {
  SyntheticOptions options;
  options.seeds = 60;
  options.images = 80;
  StudyResults results = synthetic_results(options);  // 840 runs
  results.runs[5].state = RunState::kFailed;
  results.runs[5].error = "out of memory";
  auto files = files_of(results);
  const std::string &page = files["01-fine.html"], &index = files["index.html"];
  CHECK(count(page, "<svg") == 7);  // courses and dots besides the five of a small study
  CHECK(count(page, "<tr><th scope=\"row\"><code>") == 420);
  CHECK(page.find("140 of 419 runs are drawn") != std::string::npos);
  CHECK(page.find("out of memory") == std::string::npos);
  CHECK(index.find("59 of 60") != std::string::npos);
  CHECK(index.find("1 of 840 runs are not done") != std::string::npos);
  CHECK(index.find("out of memory") != std::string::npos);
  CHECK(index.size() < 200'000);
  CHECK(page.size() < 1'500'000);
  for (const auto& [path, text] : files) {
    CAPTURE(path);
    if (path.ends_with(".svg")) CHECK(text.size() < 400'000);
    if (path.ends_with(".csv")) CHECK(text.size() <= 1 << 20);
    if (!path.ends_with(".gz")) continue;
    CHECK(text == files_of(results).at(path));  // no clock in it
    const std::string plain = unzipped(text);
    CHECK(plain.size() > 1 << 20);
    if (path == "points.csv.gz") CHECK(plain == points_csv(results));
  }
  CHECK(files.contains("points.csv.gz"));
  CHECK(files.contains("areas.csv"));
  CHECK(page.find("href=\"points.csv.gz\"") != std::string::npos);
  CHECK(page.find("href=\"points.csv\"") == std::string::npos);
}

void check_long_course(int64_t evaluations) {
  SyntheticOptions options;
  options.datasets = {"long"};
  options.strategies = {"full"};
  options.images = 1;
  StudyResults results = synthetic_results(options);
  RunResult& run = results.runs[0];
  run.points.assign(static_cast<size_t>(evaluations), Point(run.points.back()));
  for (size_t i = 0; i < run.points.size(); ++i) run.points[i].step = static_cast<int64_t>(i);
  run.samples.clear();
  size_t all = 0;
  for (const ReportFile& file : report_files(results, analyse(results, {.resamples = 2}))) all += file.text.size();
  CHECK(all < 2'000'000);
  CHECK(count(points_csv(results), "\n") == 1 + 2000);
}

TEST_CASE("a long course is drawn and tabled in part") { check_long_course(100'000); }

TEST_CASE("slow: a course of a million evaluations" * doctest::skip()) { check_long_course(1'000'000); }

}  // namespace
}  // namespace taut::study
