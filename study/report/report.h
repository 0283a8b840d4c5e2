// The report of a study: a pure function from results to files.
//
//   index.html                    the overview (page.h)
//   NN-DATASET.html               a page a data set
//   areas.csv points.csv fronts.csv pairs.csv parameters.csv runs.csv checks.csv     the data (tables.h), and
//   domains.csv                   where runs were judged on other domains; but for areas.csv one of more than a
//                                 megabyte is written as .csv.gz
//   table.md                      the table of areas, what the study prints
//   figures/NN-DATASET-KIND.svg   the figures; KIND is trajectories, plane, areas, fronts, courses, runs, domains or
//                                 shifts
#pragma once

#include <string>
#include <vector>

#include "study/analysis.h"

namespace taut::study {

struct ReportFile {
  std::string path;  // relative to the report's folder
  std::string text;
};

// All files; index.html comes last, so that what it links to is there before it.
std::vector<ReportFile> report_files(const StudyResults& results, const Analysis& analysis);

// Makes `folder` and writes every file into it, each atomically; removes tables, figures and pages of an earlier report
// that are gone. Returns the path of index.html. Throws Error(kIo) naming a path that cannot be written.
std::string write_report(const StudyResults& results, const Analysis& analysis, const std::string& folder);

}  // namespace taut::study
