// The report's data as CSV and Markdown. Text cells are escaped (markup.h); numbers are plain; an unknown number is an
// empty cell. Columns that depend on the clock have `seconds` in their name.
#pragma once

#include <string>

#include "study/analysis.h"

namespace taut::study {

std::string areas_csv(const Analysis& analysis);  // a row a data set and strategy
// A row an evaluation, nothing averaged; of a run with more than 2,000 2,000 at even distances: the
// others are in its metrics.jsonl.
std::string points_csv(const StudyResults& results);
std::string fronts_csv(const StudyResults& results);                          // a row a point of a run's front
std::string pairs_csv(const Analysis& analysis);                              // a row a pair of strategies
std::string parameters_csv(const StudyResults& results);                      // a row a run: sizes and cost
std::string runs_csv(const StudyResults& results, const Analysis& analysis);  // a row a planned run, with its state
std::string checks_csv(const StudyResults& results);                          // a row a check of a run

// The table of areas: strategies x data sets, `0.251 [0.230, 0.272] (+12 %)`, the best of a data set bold; where there
// is no area, why. Followed by the findings as a list.
std::string area_table_markdown(const StudyResults& results, const Analysis& analysis);

// What stands where a robust accuracy or an area would.
inline constexpr const char* kNotAttacked = "not attacked";

// The runs of a strategy on a data set that are not done: "not planned", "1 failed, 2 to do"; empty where all are.
std::string open_runs(const StudyResults& results, const StrategySummary& summary);
// Why it has no area there: the same, or that what is done was not attacked.
std::string why_no_area(const StudyResults& results, const StrategySummary& summary);

const char* state_name(RunState state);  // done, running, todo, failed

// The course of a run's robust accuracy (last iterate): where it peaks and where it ends.
struct Course {
  const Point* peak = nullptr;  // the first with the most robust images
  const Point* end = nullptr;
};
Course course_of(const RunResult& run);  // of a run with points

}  // namespace taut::study
