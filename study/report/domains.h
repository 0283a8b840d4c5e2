// The report's part on domains: accuracy out of domain against accuracy in it, and a table of the end of training.
// A data set page asks for both; they are empty where no run was judged on another domain.
#pragma once

#include <string>
#include <vector>

#include "study/analysis.h"
#include "study/report/html.h"

namespace taut::study {

// One panel a domain and one for all together: every evaluation on the probit scale, filled at the end of training,
// with the diagonal (nothing lost) dashed and the fitted line over all strategies.
std::string domains_figure(const StudyResults& results, const DatasetSummary& dataset);

// A row a strategy: accuracy at the end of training in its own domain, in each other one and in all together, with
// Wilson's intervals (of several runs: of their mean, on the images of one), and how far above the line it ended.
std::string domains_table(const StudyResults& results, const DatasetSummary& dataset, Captions& captions,
                          const std::string& link_html);

// The same numbers: a row a data set, strategy and domain.
std::string domains_csv(const StudyResults& results, const Analysis& analysis);

}  // namespace taut::study
