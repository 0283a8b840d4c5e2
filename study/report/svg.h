// A drawing as SVG text. Coordinates are pixels from the top left, written with two decimals, so that the same drawing
// has the same bytes everywhere. Text is escaped here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace taut::study {

struct Spot {
  double x = 0, y = 0;
};

struct Stroke {
  std::string_view colour = "#000";
  double width = 1;
  double opacity = 1;
  std::string_view dash = {};  // as stroke-dasharray
};

enum class Marker { kCircle, kSquare, kTriangle, kDiamond, kTriangleDown, kStar, kHourglass };
enum class Anchor { kStart, kMiddle, kEnd };

struct TextStyle {
  double size = 11;
  Anchor anchor = Anchor::kStart;
  std::string_view colour = "#333";
  bool bold = false;
  double rotate = 0;  // degrees around the text's own point
};

class Svg {
 public:
  // `label` is read to those who cannot see the drawing.
  Svg(double width, double height, std::string_view label);

  void line(Spot a, Spot b, const Stroke& stroke);
  void polyline(const std::vector<Spot>& spots, const Stroke& stroke);
  void polygon(const std::vector<Spot>& spots, std::string_view fill, double opacity);
  void rectangle(Spot corner, double width, double height, std::string_view fill, const Stroke& stroke);
  void text(Spot at, std::string_view text, const TextStyle& style = {});
  // A mark of a data point, filled or hollow; `title` is what a browser shows under the pointer, empty for nothing.
  void marker(Marker shape, Spot at, double radius, std::string_view colour, bool filled, std::string_view title = {});

  // The whole element; the drawing is over.
  std::string finish();

 private:
  std::string out_;
};

}  // namespace taut::study
