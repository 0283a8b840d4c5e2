// How one number decides: the rules that the parts of claims.h share.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "study/check/claims.h"

namespace taut::study {

// Confirmed where the interval of `confirms` lies above the bound, refuted where that of `refutes` lies below; the two
// are the same number, or one biased against each verdict.
ClaimPart above(std::string part, std::string quantity, const Resampled& confirms, const Resampled& refutes,
                double bound, double level);
ClaimPart below(std::string part, std::string quantity, const Resampled& confirms, const Resampled& refutes,
                double bound, double level);

// The size of something, which counts for no claim: confirmed where the interval lies in [low, high], refuted where it
// lies outside.
ClaimPart within(std::string part, std::string quantity, const Resampled& number, double low, double high,
                 double level);

// What strategies are compared by; sign -1 turns "largest" into "smallest".
struct Compared {
  Resampled StrategyStatistics::*number;
  std::string name;
  double sign = 1;
};

// Whether `strategy` has the largest of all seven: the rule `best` of claims.h.
ClaimPart extreme(std::string part, const DatasetStatistics& dataset, std::string_view strategy,
                  const Compared& compared, double level);

// Its area in percent above the mean of the seven; nothing unless all seven have one.
std::optional<Resampled> percent_above(const DatasetStatistics& dataset, std::string_view strategy);

}  // namespace taut::study
