#include "study/pareto.h"

#include <numeric>

namespace taut::study {
namespace {

// The trapezoid rule over points sorted by a ascending.
double trapezoid(const std::vector<TradeOff<double>>& points) {
  double area = 0;
  for (size_t i = 1; i < points.size(); ++i) {
    area += (points[i].clean - points[i - 1].clean) * (points[i].robust + points[i - 1].robust) / 2;
  }
  return area;
}

}  // namespace

Areas areas(const std::vector<TradeOff<double>>& points, double chance) {
  Areas out;
  if (points.empty()) return out;
  std::vector<TradeOff<double>> front = pareto_front(points);
  std::reverse(front.begin(), front.end());
  out.hypervolume = hypervolume(points);
  out.trapezoid_front = trapezoid(front);
  out.trapezoid_extended = out.trapezoid_front + front.front().clean * front.front().robust;
  out.mean_robust = front.back().clean > 0 ? out.hypervolume / front.back().clean : 0;
  out.upper_bound = front.back().clean * front.front().robust;
  for (const TradeOff<double>& p : front) out.lower_bound = std::max(out.lower_bound, p.clean * p.robust);

  std::vector<TradeOff<double>> all = points;
  std::sort(all.begin(), all.end(), [](const TradeOff<double>& p, const TradeOff<double>& q) {
    return p.clean != q.clean ? p.clean < q.clean : p.robust < q.robust;
  });
  out.trapezoid_all = trapezoid(all);
  for (TradeOff<double>& p : all) p.clean = std::max(p.clean - chance, 0.0);
  out.hypervolume_chance = hypervolume(all);
  return out;
}

std::vector<double> percent_above_average(const std::vector<double>& areas) {
  const double mean = std::accumulate(areas.begin(), areas.end(), 0.0) / static_cast<double>(areas.size());
  std::vector<double> percent(areas.size(), 0.0);
  for (size_t i = 0; i < areas.size(); ++i) percent[i] = mean > 0 ? 100 * (areas[i] - mean) / mean : 0;
  return percent;
}

}  // namespace taut::study
