// How alike two orders of the strategies are.
#pragma once

#include <vector>

namespace taut::study {

// Spearman's rho: Pearson's correlation of the ranks, equal values sharing their mean rank. 0 where one does not vary.
double spearman(const std::vector<double>& x, const std::vector<double>& y);

// Kendall's tau-b, which counts ties out: (concordant - discordant) / sqrt((pairs - ties in x) (pairs - ties in y)).
double kendall(const std::vector<double>& x, const std::vector<double>& y);

// The share of all orders of y whose Spearman's rho with x is at least as large in size: the two-sided p-value of no
// connection, exact (seven strategies have 5,040 orders). For at most nine values.
double order_chance(const std::vector<double>& x, const std::vector<double>& y);

// The slope of the least-squares line of y on x through the origin: 1 where y is x.
double slope_through_origin(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace taut::study
