#include "study/report/html.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "study/report/markup.h"

namespace taut::study {

HtmlTable::HtmlTable(std::vector<std::string> head_html, std::string_view css_class, bool tall) {
  out_ = fmt::format("<div class=\"scroll{}\"><table{}><thead><tr>", tall ? " tall" : "",
                     css_class.empty() ? "" : fmt::format(" class=\"{}\"", css_class));
  for (const std::string& cell : head_html) out_ += "<th scope=\"col\">" + cell + "</th>";
  out_ += "</tr></thead>\n<tbody>\n";
}

void HtmlTable::row(const std::vector<std::string>& cells_html) {
  out_ += "<tr>";
  for (size_t i = 0; i < cells_html.size(); ++i) {
    out_ += i == 0 ? "<th scope=\"row\">" + cells_html[i] + "</th>" : "<td>" + cells_html[i] + "</td>";
  }
  out_ += "</tr>\n";
}

std::string file_link(std::string_view file, std::string_view text) {
  return fmt::format("<a href=\"{}\">{}</a>", html_escape(file), html_escape(text));
}

std::string canvas(std::string_view svg_html) {
  // The width stands in the drawing itself: viewBox="0 0 WIDTH HEIGHT".
  const size_t at = svg_html.find("viewBox=\"0 0 ");
  const bool wide = at != std::string_view::npos && std::atof(std::string(svg_html.substr(at + 13, 8)).c_str()) > 700;
  return fmt::format("<div class=\"canvas{}\">{}</div>\n", wide ? " wide" : "", svg_html);
}

std::string figure(Captions& captions, std::string_view svg_html, std::string_view caption_html,
                   const std::vector<std::string>& links_html, std::string_view data_html) {
  std::string out = fmt::format("<figure>\n{}<figcaption><b>{}.</b> {} <span class=\"files\">{}</span></figcaption>\n",
                                canvas(svg_html), captions.figure(), caption_html, fmt::join(links_html, " · "));
  if (!data_html.empty()) out += fmt::format("<details><summary>Data</summary>\n{}</details>\n", data_html);
  return out + "</figure>\n";
}

std::string grouped(int64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string flops_text(double flops) {
  constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t prefix = 0;
  while (flops >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    flops /= 1000;
    ++prefix;
  }
  return fmt::format("{:.3g}\u00a0{}FLOP", flops, kPrefixes[prefix]);
}

std::string seconds_text(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f}\u00a0s", seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{}\u00a0min\u00a0{:02}\u00a0s", whole / 60, whole % 60);
  return fmt::format("{}\u00a0h\u00a0{:02}\u00a0min", whole / 3600, whole % 3600 / 60);
}

}  // namespace taut::study
