// Pearson's correlation of weighted pairs.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace taut::study {

class Correlation {
 public:
  void add(double x, double y, double weight = 1) {
    points_.push_back({x, y, weight});
    sum_ += weight;
    x_ += weight * x;
    y_ += weight * y;
  }
  int64_t size() const { return static_cast<int64_t>(points_.size()); }
  double value() const {  // 0 where one of them does not vary
    double xx = 0, yy = 0, xy = 0;
    for (const auto& [x, y, w] : points_) {
      const double dx = x - x_ / sum_, dy = y - y_ / sum_;
      xx += w * dx * dx;
      yy += w * dy * dy;
      xy += w * dx * dy;
    }
    return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
  }

 private:
  std::vector<std::array<double, 3>> points_;
  double sum_ = 0, x_ = 0, y_ = 0;
};

}  // namespace taut::study
