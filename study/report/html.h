// Small pieces of a page: tables, figures with their caption and data. Arguments named `html` are markup already; all
// others are text and escaped here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace taut::study {

// A table whose first column is a row heading. Cells are markup.
class HtmlTable {
 public:
  // `css_class` of the table; "sortable" lets its reader sort it. A `tall` one scrolls in a window of its own.
  explicit HtmlTable(std::vector<std::string> head_html, std::string_view css_class = {}, bool tall = false);
  void row(const std::vector<std::string>& cells_html);
  // A row whose cells are written out by the caller, for cells with a class.
  void raw_row(std::string_view row_html) { out_ += row_html; }
  std::string finish() const { return out_ + "</tbody></table></div>\n"; }

 private:
  std::string out_;
};

// Numbers captions: "Figure 1", "Table 1" in the order they are made.
class Captions {
 public:
  std::string figure() { return "Figure " + std::to_string(++figures_); }
  std::string table() { return "Table " + std::to_string(++tables_); }

 private:
  int figures_ = 0, tables_ = 0;
};

// A link to a file beside the page.
std::string file_link(std::string_view file, std::string_view text);

// A figure: drawing, caption with its number, links (markup), and a table folded away.
std::string figure(Captions& captions, std::string_view svg_html, std::string_view caption_html,
                   const std::vector<std::string>& links_html, std::string_view data_html);

// A drawing that may be wider than a narrow window.
std::string canvas(std::string_view svg_html);

// "12,345", "1.23 GFLOP", "1 min 05 s", with spaces that do not break.
std::string grouped(int64_t n);
std::string flops_text(double flops);
std::string seconds_text(double seconds);

}  // namespace taut::study
