// `taut study check`: a study held against the paper.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "study/analysis.h"
#include "study/check/claims.h"
#include "study/output.h"
#include "study/plan.h"

namespace taut::study {

// How alike the paper's order of the strategies and ours are on one of its data sets, by one definition of the area.
struct RankComparison {
  std::string dataset, definition;  // hypervolume (primary), hypervolume_union, trapezoid_extended, ...
  int64_t strategies = 0;           // with an area in both
  double spearman = 0, kendall = 0;
  std::optional<Estimate> spearman_interval = {}, kendall_interval = {};  // bootstrap; of the primary definition
  double chance = 1;                                                      // see order_chance
  double slope = 0;  // of ours on the paper's areas, through the origin
};

struct StudyCheck {
  std::string title;
  int64_t planned = 0, done = 0;
  std::vector<StudiedDataset> datasets;
  Analysis analysis;
  std::vector<RankComparison> ranks;
  std::vector<Claim> claims;

  bool refuted() const;                         // a claim is
  std::vector<std::string> departures() const;  // of all data sets, each once
};

// Throws Error(kBadData) as `analyse` does.
StudyCheck check_study(const Plan& plan, const StudyResults& results, const BootstrapOptions& options = {});

// A row a claim with its verdict (part "claim"), followed by a row a part.
std::vector<Row> claim_rows(const StudyCheck& check);
// A row a strategy and data set of the paper or of the study: both areas.
std::vector<Row> area_rows(const StudyCheck& check);
// A row a data set of the paper that the study has, and definition.
std::vector<Row> rank_rows(const StudyCheck& check);

// All of it for people, as Markdown.
std::string check_markdown(const StudyCheck& check);

}  // namespace taut::study
