// Axes, panels and legends over svg.h.
#pragma once

#include <string>
#include <vector>

#include "study/report/looks.h"
#include "study/report/svg.h"

namespace taut::study {

struct Tick {
  double value;
  std::string label;
};

// An axis from low to high; a logarithmic one may have 0 at a place of its own before a break.
struct Axis {
  std::string title;
  double low = 0, high = 1;
  bool logarithmic = false;
  bool has_zero = false;
  std::vector<Tick> ticks;
};

// From 0 to a round number at or above `most` (at most 1 where `most` is), four to six ticks.
Axis linear_axis(std::string title, double most);

// From `low` to `high` with round ticks outside of both.
Axis span_axis(std::string title, double low, double high);

// Over the positive steps, logarithmic, with a place for 0 if it is among them. Ticks stand at steps of the data, left
// out where labels would collide on `width` pixels. Steps ascending, not empty.
Axis step_axis(const std::vector<int64_t>& steps, double width);

// A rectangle of an Svg with two axes.
class Panel {
 public:
  // Draws frame, grid, ticks and titles.
  Panel(Svg& svg, Spot corner, double width, double height, Axis x, Axis y, std::string_view title = {});

  double x(double value) const;
  double y(double value) const { return corner_.y + height_ - (value - y_.low) / (y_.high - y_.low) * height_; }
  Spot at(double vx, double vy) const { return {x(vx), y(vy)}; }

 private:
  void draw_x(Svg& svg) const;
  void draw_y(Svg& svg) const;

  Spot corner_;
  double width_, height_;
  Axis x_, y_;
};

// A row of marker and label for each look, from `at` rightwards within `width`; returns the height it took.
double legend(Svg& svg, Spot at, double width, const std::vector<Look>& looks);

}  // namespace taut::study
