#include "study/command/roofline.h"

#include <algorithm>
#include <cmath>
#include <set>

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

std::string label_of(const Row& row) {
  if (row.contains("kernel")) return row.at("kernel").get<std::string>() + " of " + row.at("case").get<std::string>();
  const std::string dtype = row.at("dtype"), by = row.value("kernels", "own");
  return fmt::format("{}/{} {}{}{}{}", row.at("op").get<std::string>(), row.at("case").get<std::string>(),
                     row.at("pass").get<std::string>(), row.at("caches") == "warm" ? "" : ", cold",
                     dtype == "f32" ? "" : ", " + dtype, by == "own" ? "" : ", " + by);
}

}  // namespace

std::vector<Row> roofline_of_counts(const std::vector<Row>& profile, const lab::Gpu& gpu) {
  std::vector<Row> rows;
  for (const Row& r : profile) {
    const double flops = 2 * (value(r, "fmas") + value(r, "tensor_fmas")), bytes = value(r, "bytes_minimum");
    if (flops == 0 || bytes == 0) continue;
    const double peak = value(r, "tensor_fmas") > 0 ? lab::tensor_gflops(gpu) : lab::fma_gflops(gpu);
    const double gflops = 1e-3 * flops / value(r, "bound_microseconds");
    const double roof = std::min(peak, gpu.dram_gb_per_second * flops / bytes);
    rows.push_back({{"kernel", r.at("kernel")},
                    {"case", r.at("case")},
                    {"gpu", r.at("gpu")},
                    {"bound_microseconds", r.at("bound_microseconds")},
                    {"limiter", r.at("limiter")},
                    {"gflops", gflops},
                    {"flops_per_byte", flops / bytes},
                    {"peak_gflops", peak},
                    {"memory_gb_per_second", gpu.dram_gb_per_second},
                    {"percent_of_peak", 100 * gflops / roof}});
  }
  TAUT_CHECK(
      !rows.empty(),
      "[kernel roofline] no kernel that matches multiplies and adds, so that none has a place under these roofs; "
      "hint: `taut kernel profile` says what such kernels move");
  return rows;
}

std::string roofline_svg(const std::vector<Row>& rows, const std::string& title) {
  TAUT_CHECK(!rows.empty(), "[kernel roofline] nothing was measured");
  Range intensity, rate;
  double peak = 0, copy = 0;
  std::set<double> peaks;
  for (const Row& row : rows) {
    if (row.at("peak_gflops").is_null())
      fail(Exit::kUnavailable, "[kernel roofline] nobody could measure the roof of multiply-adds; hint: cuBLASLt");
    if (value(row, "flops_per_byte") == 0) continue;
    intensity.take(std::log10(value(row, "flops_per_byte")));
    rate.take(std::log10(value(row, "gflops")));
    peak = std::max(peak, value(row, "peak_gflops"));
    peaks.insert(value(row, "peak_gflops"));
    copy = std::max(copy, value(row, "memory_gb_per_second"));
  }
  TAUT_CHECK(peak > 0, "[kernel roofline] no case that moves a byte matches");
  rate.take(std::log10(peak));
  intensity.take(std::log10(peak / copy));
  Svg svg(kWidth, kHeight, "Roofline of kernels");
  const Panel panel(svg, {70, 36}, kWidth - 300, kHeight - 100, decades("operations a byte", intensity),
                    decades("GFLOP/s", rate), title);
  const double left = std::floor(intensity.low - 0.1), right = std::ceil(intensity.high + 0.1);
  const double bottom = std::floor(rate.low - 0.1), ridge = std::log10(peak / copy);
  // The slanted roof begins where it meets the bottom or the left of the panel.
  const double start = std::max(left, bottom - std::log10(copy));
  svg.polyline(
      {panel.at(start, start + std::log10(copy)), panel.at(ridge, std::log10(peak)), panel.at(right, std::log10(peak))},
      {.colour = "#333", .width = 2});
  for (const double lower : peaks)
    if (lower < 0.9 * peak)  // not the same roof in another row's measurement
      svg.polyline({panel.at(std::log10(lower / copy), std::log10(lower)), panel.at(right, std::log10(lower))},
                   {.colour = "#999", .width = 1});
  svg.text({kWidth - 222, 40}, fmt::format("{:.0f} GFLOP/s multiply-adds, {:.0f} GB/s memory", peak, copy),
           {.size = 10});
  double line = 60;
  size_t number = 0;
  for (const Row& row : rows) {
    if (value(row, "flops_per_byte") == 0) continue;
    const char* colour = kColours[number % std::size(kColours)];
    const Marker marker = kMarkers[number / std::size(kColours) % std::size(kMarkers)];
    const bool warm = row.value("caches", "warm") == "warm";
    const std::string label = label_of(row);
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
