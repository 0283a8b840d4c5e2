// Accuracy in and out of domain, over the course of training: "accuracy on the line" (Miller et al., 2021).
//
// On the probit scale, where Phi^-1(accuracy) stands for an accuracy, models of one family tend to lie on a straight
// line: the better in domain, the better out of it. What matters for a strategy is then how far above the line it is
// (effective robustness; Taori et al., 2020). Accuracies of 0 and 1 have no probit: they stand half an image inside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study/results.h"

namespace taut::study {

// All images of the other domains together, each counting alike, as the study pools them; nothing where a point has no
// other domain. `robust_last` is there if all domains were attacked.
std::optional<ShiftedCount> pooled_domains(const Point& point);

// What a point was judged on beside its own domain: every other domain in order, then, if there are several, all
// together under the name kPooled.
inline constexpr const char* kPooled = "all together";
std::vector<ShiftedCount> judged_domains(const Point& point);

double probit(int64_t correct, int64_t n);

// Least squares of probit(out of domain) on probit(in domain).
struct ProbitLine {
  int64_t points = 0;
  double slope = 0, intercept = 0;
  double r2 = 0;  // share of the variance that the line explains
  double at(double probit_in) const { return intercept + slope * probit_in; }
};
// Nothing where the points do not differ in domain.
std::optional<ProbitLine> probit_line(const std::vector<std::pair<double, double>>& probits);

// The line of one domain (a name of judged_domains) over all evaluations of all done runs of a data set.
std::optional<ProbitLine> domain_line(const std::vector<const RunResult*>& runs, const std::string& domain);

}  // namespace taut::study
