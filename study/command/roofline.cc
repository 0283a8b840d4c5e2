#include "study/command/roofline.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "study/report/plot.h"

namespace taut::study {
namespace {

constexpr double kWidth = 860, kHeight = 520;
constexpr const char* kColours[] = {"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b"};
constexpr Marker kMarkers[] = {Marker::kCircle, Marker::kSquare, Marker::kTriangle, Marker::kDiamond};

struct Range {
  double low = HUGE_VAL, high = -HUGE_VAL;
  void take(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
};

// An axis of powers of ten over `range` of decimal logarithms.
Axis decades(std::string title, Range range) {
  Axis axis;
  axis.title = std::move(title);
  axis.low = std::floor(range.low - 0.1);
  axis.high = std::ceil(range.high + 0.1);
  for (double at = axis.low; at <= axis.high; at += 1)
    axis.ticks.push_back({at, fmt::format("{:g}", std::pow(10, at))});
  return axis;
}

double value(const Row& row, const char* field) { return row.at(field).get<double>(); }

}  // namespace

std::string roofline_svg(const std::vector<Row>& rows) {
  TAUT_CHECK(!rows.empty(), "[kernel roofline] nothing was measured");
  Range intensity, rate;
  double peak = 0, copy = 0;
  for (const Row& row : rows) {
    if (value(row, "flops_per_byte") == 0) continue;
    intensity.take(std::log10(value(row, "flops_per_byte")));
    rate.take(std::log10(value(row, "gflops")));
    peak = std::max(peak, value(row, "peak_gflops"));
    copy = std::max(copy, value(row, "copy_gb_per_second"));
  }
  TAUT_CHECK(peak > 0, "[kernel roofline] no case that moves a byte matches");
  rate.take(std::log10(peak));
  intensity.take(std::log10(peak / copy));
  Svg svg(kWidth, kHeight, "Roofline of measured kernels");
  const Panel panel(svg, {70, 36}, kWidth - 300, kHeight - 100, decades("operations a byte", intensity),
                    decades("GFLOP/s", rate), "measured on this machine's CPU");
  const double left = std::floor(intensity.low - 0.1), right = std::ceil(intensity.high + 0.1);
  const double bottom = std::floor(rate.low - 0.1), ridge = std::log10(peak / copy);
  // The slanted roof begins where it meets the bottom or the left of the panel.
  const double start = std::max(left, bottom - std::log10(copy));
  svg.polyline(
      {panel.at(start, start + std::log10(copy)), panel.at(ridge, std::log10(peak)), panel.at(right, std::log10(peak))},
      {.colour = "#333", .width = 2});
  svg.text({kWidth - 222, 40}, fmt::format("{:.0f} GFLOP/s multiply-adds, {:.0f} GB/s copy", peak, copy), {.size = 10});
  double line = 60;
  size_t number = 0;
  for (const Row& row : rows) {
    if (value(row, "flops_per_byte") == 0) continue;
    const char* colour = kColours[number % std::size(kColours)];
    const Marker marker = kMarkers[number / std::size(kColours) % std::size(kMarkers)];
    const bool warm = row.at("caches") == "warm";
    const std::string label =
        fmt::format("{}/{} {}{}", row.at("op").get<std::string>(), row.at("case").get<std::string>(),
                    row.at("pass").get<std::string>(), warm ? "" : ", cold");
    svg.marker(marker, panel.at(std::log10(value(row, "flops_per_byte")), std::log10(value(row, "gflops"))), 5, colour,
               warm, fmt::format("{}: {:.1f} % of the peak", label, value(row, "percent_of_peak")));
    if (line < kHeight - 12) {
      svg.marker(marker, {kWidth - 216, line - 4}, 4, colour, warm);
      svg.text({kWidth - 206, line}, label.size() > 38 ? label.substr(0, 37) + "…" : label, {.size = 9});
      line += 14;
    }
    ++number;
  }
  return svg.finish();
}

}  // namespace taut::study
