#include "study/report/page.h"

#include <fmt/format.h>

#include "attacks/evaluate.h"
#include "study/report/drawn.h"
#include "study/report/html.h"
#include "study/report/looks.h"
#include "study/report/markup.h"
#include "study/report/script.h"
#include "study/report/style.h"

namespace taut::study {

std::string ReportContext::link(const std::string& name) const { return file_link(file(name), file(name)); }

std::string page_frame(std::string_view title, std::string_view body_html) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style></head>\n<body>\n{}"
      "<script>{}</script>\n</body></html>\n",
      html_escape(title), kReportStyle, body_html, kReportScript);
}

std::string label_html(const std::string& strategy) { return html_escape(look_of(strategy, 0).label); }

std::string interval_text(const Estimate& e) { return fmt::format("{:.3f} [{:.3f}, {:.3f}]", e.value, e.low, e.high); }

std::string accuracy_html(int64_t correct, int64_t n) {
  const attacks::Interval interval = attacks::binomial_interval(correct, n);
  return fmt::format("{:.3f} <span class=\"muted\">[{:.3f}, {:.3f}]</span>", share(correct, n), interval.low,
                     interval.high);
}

std::vector<const RunResult*> done_runs(const StudyResults& results, const DatasetSummary& dataset) {
  std::vector<const RunResult*> out;
  for (const StrategySummary& s : dataset.strategies) {
    for (size_t r : s.runs) {
      if (results.runs[r].state == RunState::kDone) out.push_back(&results.runs[r]);
    }
  }
  return out;
}

}  // namespace taut::study
