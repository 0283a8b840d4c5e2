#include "study/report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tensor/portable_math.h"

namespace taut::study {
namespace {

constexpr std::string_view kGrid = "#e3e3e3", kFrame = "#666";
constexpr double kZeroGap = 34;  // pixels from the place of 0 to the first positive step

// About how wide `text` is at 12 pixels, for the spacing of legends.
double text_width(const std::string& text) {
  double width = 0;
  for (char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // the rest of a UTF-8 character
    const std::string_view narrow = "iljtfIr()., -'", wide = "mwMWABCDGHNOQRU";
    width += narrow.find(c) != std::string_view::npos ? 4.6 : wide.find(c) != std::string_view::npos ? 9.2 : 7;
  }
  return width;
}

// 1, 2 or 5 times a power of ten, so that `span` has about `count` of them.
double round_step(double span, double count) {
  const double raw = span / count;
  double power = 1;
  while (power > raw) power /= 10;
  while (power * 10 <= raw) power *= 10;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power * 1.0001) return factor * power;
  }
  return 10 * power;
}

Axis with_ticks(std::string title, double low, double high, double step) {
  Axis axis;
  axis.title = std::move(title);
  axis.low = low;
  axis.high = high;
  int decimals = 0;
  for (double unit = 1; unit > step * 1.0001; unit /= 10) ++decimals;
  const auto first = static_cast<int64_t>(std::llround(low / step));
  const auto last = static_cast<int64_t>(std::llround(high / step));
  for (int64_t i = first; i <= last; ++i) {
    const double value = static_cast<double>(i) * step;
    axis.ticks.push_back({value, fmt::format("{:.{}f}", value, decimals)});
  }
  return axis;
}

}  // namespace

Axis linear_axis(std::string title, double most) {
  const double step = round_step(std::max(most, 0.01), 5);
  return with_ticks(std::move(title), 0, step * std::ceil(std::max(most, 0.01) / step - 1e-9), step);
}

Axis span_axis(std::string title, double low, double high) {
  if (high - low < 0.01) high = low + 0.01;
  const double step = round_step(high - low, 5);
  return with_ticks(std::move(title), step * std::floor(low / step + 1e-9), step * std::ceil(high / step - 1e-9), step);
}

Axis step_axis(const std::vector<int64_t>& steps, double width) {
  Axis axis;
  axis.title = "training step";
  axis.logarithmic = true;
  axis.has_zero = steps.front() == 0;
  std::vector<int64_t> positive;
  for (int64_t step : steps) {
    if (step > 0) positive.push_back(step);
  }
  if (positive.empty()) positive.push_back(1);
  axis.low = static_cast<double>(positive.front());
  axis.high = std::max(static_cast<double>(positive.back()), axis.low * 2);
  if (axis.has_zero) axis.ticks.push_back({0, "0"});
  const double room = width - (axis.has_zero ? kZeroGap : 0);
  const auto place = [&](int64_t step) {
    return portable_log(static_cast<double>(step) / axis.low) / portable_log(axis.high / axis.low) * room;
  };
  const double end = place(positive.back());
  double before = -1e9;
  for (int64_t step : positive) {
    const double here = place(step);
    const bool last = step == positive.back();
    if (!last && (here - before < 30 || end - here < 30)) continue;
    axis.ticks.push_back({static_cast<double>(step), fmt::format("{}", step)});
    before = here;
  }
  return axis;
}

Panel::Panel(Svg& svg, Spot corner, double width, double height, Axis x, Axis y, std::string_view title)
    : corner_(corner), width_(width), height_(height), x_(std::move(x)), y_(std::move(y)) {
  svg.rectangle(corner, width, height, "#fff", {.colour = "none"});
  draw_y(svg);
  draw_x(svg);
  svg.rectangle(corner, width, height, "none", {.colour = kFrame});
  if (!title.empty()) {
    svg.text({corner.x + width / 2, corner.y - 7}, title, {.size = 12, .anchor = Anchor::kMiddle, .bold = true});
  }
}

double Panel::x(double value) const {
  if (!x_.logarithmic) return corner_.x + (value - x_.low) / (x_.high - x_.low) * width_;
  constexpr double kMargin = 14;  // markers of the first and last step stay inside the frame
  if (value <= 0) return corner_.x + kMargin;
  const double start = kMargin + (x_.has_zero ? kZeroGap : 0);
  return corner_.x + start + portable_log(value / x_.low) / portable_log(x_.high / x_.low) * (width_ - start - kMargin);
}

void Panel::draw_x(Svg& svg) const {
  const double bottom = corner_.y + height_;
  for (const Tick& tick : x_.ticks) {
    const double at = x(tick.value);
    svg.line({at, corner_.y}, {at, bottom}, {.colour = kGrid, .width = 0.8});
    svg.line({at, bottom}, {at, bottom + 4}, {.colour = kFrame});
    svg.text({at, bottom + 16}, tick.label, {.anchor = Anchor::kMiddle});
  }
  if (x_.logarithmic && x_.has_zero) {
    const double at = x(0) + kZeroGap / 2;
    for (double shift : {-2.5, 2.5}) {
      svg.line({at + shift - 2, bottom + 5}, {at + shift + 2, bottom - 5}, {.colour = kFrame, .width = 1.2});
    }
  }
  svg.text({corner_.x + width_ / 2, bottom + 33}, x_.title, {.size = 12, .anchor = Anchor::kMiddle});
}

void Panel::draw_y(Svg& svg) const {
  for (const Tick& tick : y_.ticks) {
    const double at = y(tick.value);
    svg.line({corner_.x, at}, {corner_.x + width_, at}, {.colour = kGrid, .width = 0.8});
    svg.line({corner_.x - 4, at}, {corner_.x, at}, {.colour = kFrame});
    svg.text({corner_.x - 7, at + 4}, tick.label, {.anchor = Anchor::kEnd});
  }
  if (!y_.title.empty()) {
    double widest = 0;
    for (const Tick& tick : y_.ticks) widest = std::max(widest, text_width(tick.label));
    svg.text({corner_.x - std::max(40.0, widest + 17), corner_.y + height_ / 2}, y_.title,
             {.size = 12, .anchor = Anchor::kMiddle, .rotate = -90});
  }
}

double legend(Svg& svg, Spot at, double width, const std::vector<Look>& looks) {
  constexpr double kLine = 20;
  double x = at.x, y = at.y;
  for (const Look& look : looks) {
    const double advance = 25 + text_width(look.label);
    if (x > at.x && x + advance > at.x + width) {
      x = at.x;
      y += kLine;
    }
    svg.line({x, y}, {x + 20, y}, {.colour = look.colour, .width = 1.6});
    svg.marker(look.marker, {x + 10, y}, 4, look.colour, true);
    svg.text({x + 25, y + 4}, look.label, {.size = 12});
    x += advance + 18;
  }
  return y - at.y + kLine;
}

}  // namespace taut::study
