#include "study/report/svg.h"

#include <fmt/format.h>

#include "study/report/markup.h"

namespace taut::study {
namespace {

// At most two decimals, no trailing zeros, no negative zero.
std::string num(double v) {
  std::string s = fmt::format("{:.2f}", v);
  while (s.back() == '0') s.pop_back();
  if (s.back() == '.') s.pop_back();
  return s == "-0" ? "0" : s;
}

std::string points_of(const std::vector<Spot>& spots) {
  std::string s;
  for (const Spot& p : spots) s += (s.empty() ? "" : " ") + num(p.x) + "," + num(p.y);
  return s;
}

std::string stroke_of(const Stroke& stroke) {
  std::string s = fmt::format(" stroke=\"{}\" stroke-width=\"{}\"", stroke.colour, num(stroke.width));
  if (stroke.opacity < 1) s += fmt::format(" stroke-opacity=\"{}\"", num(stroke.opacity));
  if (!stroke.dash.empty()) s += fmt::format(" stroke-dasharray=\"{}\"", stroke.dash);
  return s;
}

// The outline of a marker of radius r around 0, 0 as path data.
std::string outline(Marker shape, double r) {
  const double a = r * 0.9, t = r * 1.2;
  switch (shape) {
    case Marker::kSquare: return fmt::format("M{0} {0}H{1}V{1}H{0}Z", num(-a), num(a));
    case Marker::kTriangle: return fmt::format("M0 {}L{} {}H{}Z", num(-t), num(t), num(a), num(-t));
    case Marker::kTriangleDown: return fmt::format("M0 {}L{} {}H{}Z", num(t), num(t), num(-a), num(-t));
    case Marker::kDiamond: return fmt::format("M0 {0}L{1} 0L0 {1}L{0} 0Z", num(-1.3 * r), num(1.3 * r));
    case Marker::kHourglass: return fmt::format("M{0} {2}H{1}L{0} {3}H{1}Z", num(-a), num(a), num(-t), num(t));
    case Marker::kStar: {
      // Five points; sines and cosines of multiples of 36 degrees, so that no libm decides a digit.
      constexpr double kSine[] = {0, 0.587785,  0.951057,  0.951057,  0.587785,
                                  0, -0.587785, -0.951057, -0.951057, -0.587785};
      constexpr double kCosine[] = {1,  0.809017,  0.309017,  -0.309017, -0.809017,
                                    -1, -0.809017, -0.309017, 0.309017,  0.809017};
      std::string path;
      for (int i = 0; i < 10; ++i) {
        const double radius = i % 2 == 0 ? 1.45 * r : 0.6 * r;
        path += fmt::format("{}{} {}", i == 0 ? 'M' : 'L', num(radius * kSine[i]), num(-radius * kCosine[i]));
      }
      return path + 'Z';
    }
    case Marker::kCircle: break;
  }
  return {};
}

}  // namespace

Svg::Svg(double width, double height, std::string_view label) {
  out_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\" fill=\"none\">\n<title>{2}</title>\n",
      num(width), num(height), html_escape(label));
}

void Svg::line(Spot a, Spot b, const Stroke& stroke) {
  out_ += fmt::format("<path d=\"M{} {}L{} {}\"{}/>\n", num(a.x), num(a.y), num(b.x), num(b.y), stroke_of(stroke));
}

void Svg::polyline(const std::vector<Spot>& spots, const Stroke& stroke) {
  out_ += fmt::format("<polyline points=\"{}\"{} stroke-linejoin=\"round\"/>\n", points_of(spots), stroke_of(stroke));
}

void Svg::polygon(const std::vector<Spot>& spots, std::string_view fill, double opacity) {
  out_ +=
      fmt::format("<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{}\"/>\n", points_of(spots), fill, num(opacity));
}

void Svg::rectangle(Spot corner, double width, double height, std::string_view fill, const Stroke& stroke) {
  out_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{}/>\n", num(corner.x),
                      num(corner.y), num(width), num(height), fill, stroke_of(stroke));
}

void Svg::text(Spot at, std::string_view text, const TextStyle& style) {
  out_ += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", num(at.x), num(at.y), num(style.size),
                      style.colour);
  if (style.anchor != Anchor::kStart) {
    out_ += fmt::format(" text-anchor=\"{}\"", style.anchor == Anchor::kMiddle ? "middle" : "end");
  }
  if (style.bold) out_ += " font-weight=\"bold\"";
  if (style.rotate != 0) {
    out_ += fmt::format(" transform=\"rotate({} {} {})\"", num(style.rotate), num(at.x), num(at.y));
  }
  out_ += fmt::format(">{}</text>\n", html_escape(text));
}

void Svg::marker(Marker shape, Spot at, double radius, std::string_view colour, bool filled, std::string_view title) {
  const std::string tip = title.empty() ? "/>\n" : fmt::format("><title>{}</title>", html_escape(title));
  const std::string paint =
      fmt::format("fill=\"{0}\" stroke=\"{1}\" stroke-width=\"1.3\"", filled ? colour : "#fff", colour);
  if (shape == Marker::kCircle) {
    out_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" {}{}", num(at.x), num(at.y), num(radius), paint, tip);
    if (!title.empty()) out_ += "</circle>\n";
  } else {
    out_ += fmt::format("<path transform=\"translate({} {})\" d=\"{}\" {}{}", num(at.x), num(at.y),
                        outline(shape, radius), paint, tip);
    if (!title.empty()) out_ += "</path>\n";
  }
}

std::string Svg::finish() { return std::move(out_) + "</svg>\n"; }

}  // namespace taut::study
