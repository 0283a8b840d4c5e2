// The report's pages, readable without a network and without JavaScript; nothing is loaded from anywhere: figures are
// inline SVG, images inline PNG, the only script is our own and sorts tables. Links lead to the files of report.h.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "study/analysis.h"

namespace taut::study {

// The drawings of one data set, made once and used by the pages and the files beside them.
struct DatasetFigures {
  std::string stem;  // of the file names: figures/STEM-trajectories.svg, STEM.html
  // SVG; empty where there is nothing to draw
  std::string trajectories, plane, areas, fronts, courses, runs, domains, shifts;

  std::string page() const { return stem + ".html"; }
};

// What the pages say, and what they may link to.
struct ReportContext {
  const StudyResults& results;
  const Analysis& analysis;
  const std::vector<DatasetFigures>& figures;  // one a data set
  std::set<std::string> packed;                // files that are written compressed

  std::string file(const std::string& name) const { return packed.contains(name) ? name + ".gz" : name; }
  std::string link(const std::string& name) const;  // markup
};

// The overview: what is done, the areas of all data sets, cost, settings, checks, methods.
std::string index_page(const ReportContext& report);
// One data set: courses, trade-off, fronts, which strategies differ, its runs, shifted domains, images.
std::string dataset_page(const ReportContext& report, size_t dataset);

// A data set with more done runs or evaluations than this has its numbers in the CSV files and the table of runs alone.
inline constexpr size_t kManyRuns = 40, kManyEvaluations = 1000;

// --- for the pages ---

std::string page_frame(std::string_view title, std::string_view body_html);
std::string label_html(const std::string& strategy);
std::string interval_text(const Estimate& e);           // "0.251 [0.230, 0.272]"
std::string accuracy_html(int64_t correct, int64_t n);  // with Wilson's interval
std::vector<const RunResult*> done_runs(const StudyResults& results, const DatasetSummary& dataset);

}  // namespace taut::study
