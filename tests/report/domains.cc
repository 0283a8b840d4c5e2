// Accuracy out of domain against accuracy in it: pools, lines, the figure and the table, recounted here.
#include "study/domains.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <sstream>

#include "attacks/evaluate.h"
#include "kernels/error.h"
#include "study/bootstrap.h"
#include "study/report/domains.h"
#include "study/report/report.h"
#include "tests/report/synthetic.h"

namespace taut::study {
namespace {

constexpr BootstrapOptions kQuick{.resamples = 100};

// The synthetic study, judged on two domains of other sizes instead of changed test images.
StudyResults two_domains(SyntheticOptions options = {}) {
  options.datasets = {"pacs"};
  StudyResults results = synthetic_results(options);
  for (RunResult& run : results.runs) {
    for (Point& p : run.points) {
      for (ShiftedCount& s : p.shifted) {
        s.other_domain = true;
        if (s.domain == "rotated") {
          s.domain = "art";
          s.n = 2 * p.n;
          s.correct = std::min(2 * s.correct, s.n);
        } else {
          s.domain = "sketch";
        }
        s.robust_last = s.correct / 2;
      }
    }
  }
  return results;
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

// dataset,strategy,domain,metric -> the rest of the row.
std::map<std::string, std::vector<double>> csv_of(const StudyResults& results) {
  std::map<std::string, std::vector<double>> rows;
  std::istringstream lines(domains_csv(results, analyse(results, kQuick)));
  std::string line;
  std::getline(lines, line);
  CHECK(line == "dataset,strategy,domain,metric,runs,n,accuracy,low,high,run_sd,above_line");
  while (std::getline(lines, line)) {
    std::vector<std::string> fields;
    std::istringstream parts(line + ",");
    for (std::string field; std::getline(parts, field, ',');) fields.push_back(field);
    REQUIRE(fields.size() == 11);
    std::vector<double>& numbers = rows[fields[1] + " " + fields[2] + " " + fields[3]];
    for (size_t i = 4; i < 11; ++i) numbers.push_back(fields[i].empty() ? NAN : std::stod(fields[i]));
  }
  return rows;
}

TEST_CASE("a pool counts every image alike, and attacked ones where all domains were attacked") {
  Point p;
  p.shifted = {{"rotation", 100, 90, false, {}}, {"art", 30, 10, true, 5}, {"sketch", 90, 80, true, 7}};
  const auto pooled = pooled_domains(p);
  REQUIRE(pooled.has_value());
  CHECK(pooled->n == 120);
  CHECK(pooled->correct == 90);
  CHECK(pooled->robust_last == 12);
  const auto judged = judged_domains(p);
  REQUIRE(judged.size() == 3);
  CHECK(judged[0].domain == "art");
  CHECK(judged[2].domain == kPooled);
  p.shifted[1].robust_last.reset();
  CHECK(!pooled_domains(p)->robust_last.has_value());
  p.shifted.resize(2);
  CHECK(judged_domains(p).size() == 1);  // one domain is its own pool
  p.shifted.resize(1);
  CHECK(!pooled_domains(p).has_value());
  CHECK(judged_domains(p).empty());
}

TEST_CASE("a line through points on one is found, and its share of the variance falls with noise") {
  std::vector<std::pair<double, double>> points;
  for (int i = 0; i < 20; ++i) points.emplace_back(0.1 * i - 1, 0.7 * (0.1 * i - 1) - 0.4);
  const auto line = probit_line(points);
  REQUIRE(line.has_value());
  CHECK(line->slope == doctest::Approx(0.7).epsilon(1e-12));
  CHECK(line->intercept == doctest::Approx(-0.4).epsilon(1e-12));
  CHECK(line->r2 == doctest::Approx(1).epsilon(1e-12));
  CHECK(line->points == 20);
  for (size_t i = 0; i < points.size(); ++i) points[i].second += i % 2 == 0 ? 0.5 : -0.5;
  CHECK(probit_line(points)->r2 < 0.5);
  CHECK(!probit_line({{1, 2}}).has_value());
  CHECK(!probit_line({{1, 2}, {1, 3}, {1, 4}}).has_value());
  CHECK(probit_line({{1, 2}, {2, 2}})->r2 == 1);
}

TEST_CASE("probits: half is 0, all and nothing stand half an image inside") {
  CHECK(std::abs(probit(50, 100)) < 1e-12);
  CHECK(probit(84, 100) == doctest::Approx(0.994457883).epsilon(1e-8));
  CHECK(probit(100, 100) == doctest::Approx(normal_quantile(0.995)));
  CHECK(probit(0, 100) == doctest::Approx(-probit(100, 100)));
  CHECK_THROWS_AS(probit(1, 0), Error);
  CHECK_THROWS_AS(probit(3, 2), Error);
}

TEST_CASE("the table of domains has the counts of the last evaluations, with Wilson's intervals") {
  const StudyResults results = two_domains();
  const auto rows = csv_of(results);
  CHECK(rows.size() == 7 * 7);
  for (const RunResult& run : results.runs) {
    const Point& last = run.points.back();
    const auto check = [&](const std::string& domain, const std::string& metric, int64_t correct, int64_t n) {
      CAPTURE(run.strategy + " " + domain + " " + metric);
      const std::vector<double>& row = rows.at(run.strategy + " " + domain + " " + metric);
      const attacks::Interval interval = attacks::binomial_interval(correct, n);
      CHECK(row[0] == 1);
      CHECK(row[1] == static_cast<double>(n));
      CHECK(row[2] == doctest::Approx(static_cast<double>(correct) / static_cast<double>(n)).epsilon(1e-9));
      CHECK(row[3] == doctest::Approx(interval.low).epsilon(1e-9));
      CHECK(row[4] == doctest::Approx(interval.high).epsilon(1e-9));
    };
    const ShiftedCount &art = last.shifted[0], &sketch = last.shifted[1];
    check("in domain", "clean", last.clean_correct, last.n);
    check("art", "clean", art.correct, art.n);
    check("sketch", "robust", *sketch.robust_last, sketch.n);
    check(kPooled, "clean", art.correct + sketch.correct, art.n + sketch.n);
    check(kPooled, "robust", *art.robust_last + *sketch.robust_last, art.n + sketch.n);
    std::vector<const RunResult*> all;
    for (const RunResult& r : results.runs) all.push_back(&r);
    const auto line = domain_line(all, "art");
    REQUIRE(line.has_value());
    const double expected =
        normal_cdf(line->at(normal_quantile(static_cast<double>(last.clean_correct) / static_cast<double>(last.n))));
    CHECK(rows.at(run.strategy + " art clean")[6] ==
          doctest::Approx(static_cast<double>(art.correct) / static_cast<double>(art.n) - expected).epsilon(1e-6));
  }
  SyntheticOptions several;
  several.seeds = 3;
  const auto means = csv_of(two_domains(several));
  CHECK(means.at("lora art clean")[0] == 3);
  CHECK(means.at("lora art clean")[1] == 1000);  // images of one run, not of three
  CHECK(means.at("lora art clean")[5] > 0);
}

TEST_CASE(
    "the figure has a panel a domain, the diagonal, the line, and every evaluation; none where there is no domain") {
  const StudyResults results = two_domains();
  const Analysis analysis = analyse(results, kQuick);
  const std::string svg = domains_figure(results, analysis.datasets[0]);
  for (const char* text : {"art (slope ", "sketch (slope ", "all together (slope ", "R² ", "accuracy in domain",
                           "accuracy out of domain", "50 %"}) {
    CAPTURE(text);
    CHECK(svg.find(text) != std::string::npos);
  }
  CHECK(count(svg, ", step ") == 3 * 7 * 7);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg == domains_figure(results, analysis.datasets[0]));
  Captions captions;
  const std::string table = domains_table(results, analysis.datasets[0], captions, "");
  CHECK(count(table, "<tr>") == 8);
  CHECK(table.find("all together, attacked") != std::string::npos);
  CHECK(table.find("Table 1.") != std::string::npos);

  const StudyResults none = synthetic_results();
  const Analysis other = analyse(none, kQuick);
  CHECK(domains_figure(none, other.datasets[0]).empty());
  CHECK(domains_table(none, other.datasets[0], captions, "").empty());
  CHECK(domains_csv(none, other).find('\n') + 1 == domains_csv(none, other).size());
}

TEST_CASE("accuracies of nothing and everything, one evaluation, hostile names: drawn, and text stays text") {
  SyntheticOptions options;
  options.steps = {0};
  options.images = 1;
  StudyResults results = two_domains(options);
  for (RunResult& run : results.runs) {
    run.points[0].shifted[0].domain = "<script>alert(1)</script>";
    run.points[0].shifted[1].correct = run.points[0].shifted[1].n;
    run.points[0].shifted[1].robust_last.reset();
  }
  const Analysis analysis = analyse(results, kQuick);
  const std::string svg = domains_figure(results, analysis.datasets[0]);
  Captions captions;
  const std::string table = domains_table(results, analysis.datasets[0], captions, "");
  for (const std::string& text : {svg, table}) {
    CHECK(text.find("<script") == std::string::npos);
    CHECK(text.find("nan") == std::string::npos);
    CHECK(text.find("inf") == std::string::npos);
  }
  CHECK(table.find("attacked") == std::string::npos);
  CHECK(table.find("&lt;script&gt;") != std::string::npos);
}

}  // namespace
}  // namespace taut::study
