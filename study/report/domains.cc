#include "study/report/domains.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "attacks/evaluate.h"
#include "study/bootstrap.h"
#include "study/domains.h"
#include "study/report/drawn.h"
#include "study/report/markup.h"
#include "study/report/plot.h"

namespace taut::study {
namespace {

std::vector<const RunResult*> runs_of(const std::vector<Drawn>& all) {
  std::vector<const RunResult*> runs;
  for (const Drawn& d : all) runs.insert(runs.end(), d.runs.begin(), d.runs.end());
  return runs;
}

// Names of judged_domains in the order they appear; all together last.
std::vector<std::string> domains_of(const std::vector<Drawn>& all) {
  std::vector<std::string> names;
  bool pooled = false;
  for (const RunResult* run : runs_of(all)) {
    for (const Point& p : run->points) {
      for (const ShiftedCount& s : judged_domains(p)) {
        pooled = pooled || s.domain == kPooled;
        if (s.domain != kPooled && std::ranges::find(names, s.domain) == names.end()) names.push_back(s.domain);
      }
    }
  }
  if (pooled) names.emplace_back(kPooled);
  return names;
}

std::optional<ShiftedCount> count_of(const Point& point, const std::string& domain) {
  for (const ShiftedCount& s : judged_domains(point))
    if (s.domain == domain) return s;
  return std::nullopt;
}

// An axis of accuracies between two probits, with a tick at every round one that has room on `pixels`.
Axis probit_axis(std::string title, double low, double high, double pixels) {
  Axis axis{.title = std::move(title), .low = low, .high = high, .ticks = {}};
  double before = -1e9;
  for (const double percent : {1., 2., 5., 10., 20., 30., 40., 50., 60., 70., 80., 90., 95., 98., 99., 99.5, 99.9}) {
    const double value = normal_quantile(percent / 100);
    const double here = (value - low) / (high - low) * pixels;
    if (value < low || value > high || here - before < 22) continue;
    axis.ticks.push_back({value, fmt::format("{:g} %", percent)});
    before = here;
  }
  return axis;
}

struct Span {
  double low = 1e9, high = -1e9;
  void take(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
};

// What all panels show, so that they can be compared.
Span span_of(const std::vector<Drawn>& all) {
  Span span;
  for (const RunResult* run : runs_of(all)) {
    for (const Point& p : run->points) {
      for (const ShiftedCount& s : judged_domains(p)) {
        span.take(probit(p.clean_correct, p.n));
        span.take(probit(s.correct, s.n));
      }
    }
  }
  const double margin = 0.06 * (span.high - span.low) + 0.05;
  return {span.low - margin, span.high + margin};
}

// The part of a line that lies in the square of the span.
void draw_line(Svg& svg, const Panel& panel, const ProbitLine& line, const Span& span) {
  double from = span.low, to = span.high;
  if (std::abs(line.slope) > 1e-9) {
    const double a = (span.low - line.intercept) / line.slope, b = (span.high - line.intercept) / line.slope;
    from = std::max(from, std::min(a, b));
    to = std::min(to, std::max(a, b));
  }
  if (from < to) svg.line(panel.at(from, line.at(from)), panel.at(to, line.at(to)), {.colour = "#333", .width = 1.2});
}

void draw_run(Svg& svg, const Panel& panel, const Drawn& drawn, const RunResult& run, const std::string& domain) {
  std::vector<Spot> course;
  for (const Point* p : shown_points(run)) {
    if (const auto s = count_of(*p, domain))
      course.push_back(panel.at(probit(p->clean_correct, p->n), probit(s->correct, s->n)));
  }
  svg.polyline(course, {.colour = drawn.look.colour, .width = 0.8, .opacity = 0.5});
  const std::string name = drawn.runs.size() == 1 ? drawn.look.label : drawn.look.label + ", " + run.run_id;
  for (const Point* p : shown_points(run, drawn.runs.size() > kFewRuns ? 4 : kMostPointsDrawn)) {
    const auto s = count_of(*p, domain);
    if (!s) continue;
    svg.marker(drawn.look.marker, panel.at(probit(p->clean_correct, p->n), probit(s->correct, s->n)), 3.2,
               drawn.look.colour, p == &run.points.back(),
               fmt::format("{}, step {}: in domain {:.3f}, {} {:.3f} (n = {})", name, p->step,
                           share(p->clean_correct, p->n), domain, share(s->correct, s->n), s->n));
  }
}

// The end of training of a strategy on some images: the mean over its done runs.
struct End {
  int64_t n = 0, runs = 0;
  double accuracy = 0, sd = 0;
  attacks::Interval interval;
};

// `count` gives correct and n of a run's last point.
std::optional<End> end_of(const Drawn& drawn,
                          const std::function<std::optional<std::pair<int64_t, int64_t>>(const Point&)>& count) {
  End end;
  std::vector<double> shares;
  for (const RunResult* run : drawn.runs) {
    const auto counted = run->points.empty() ? std::nullopt : count(run->points.back());
    if (!counted) continue;
    shares.push_back(share(counted->first, counted->second));
    end.n = end.n == 0 ? counted->second : std::min(end.n, counted->second);
  }
  if (shares.empty()) return std::nullopt;
  end.runs = static_cast<int64_t>(shares.size());
  for (const double s : shares) end.accuracy += s / static_cast<double>(end.runs);
  for (const double s : shares) end.sd += (s - end.accuracy) * (s - end.accuracy);
  end.sd = end.runs > 1 ? std::sqrt(end.sd / static_cast<double>(end.runs - 1)) : 0;
  end.interval = attacks::binomial_interval(std::llround(end.accuracy * static_cast<double>(end.n)), end.n);
  return end;
}

std::optional<End> own_end(const Drawn& drawn) {
  return end_of(drawn, [](const Point& p) { return std::optional(std::pair(p.clean_correct, p.n)); });
}

std::optional<End> end_in(const Drawn& drawn, const std::string& domain, bool robust = false) {
  return end_of(drawn, [&](const Point& p) -> std::optional<std::pair<int64_t, int64_t>> {
    const auto s = count_of(p, domain);
    if (!s || (robust && !s->robust_last)) return std::nullopt;
    return std::pair(robust ? *s->robust_last : s->correct, s->n);
  });
}

// How far the last points of a strategy lie above the line, in accuracy, on average over its runs.
std::optional<double> above_line(const Drawn& drawn, const std::string& domain, const ProbitLine& line) {
  double sum = 0;
  int64_t runs = 0;
  for (const RunResult* run : drawn.runs) {
    if (run->points.empty()) continue;
    const Point& last = run->points.back();
    const auto s = count_of(last, domain);
    if (!s) continue;
    sum += share(s->correct, s->n) - normal_cdf(line.at(probit(last.clean_correct, last.n)));
    ++runs;
  }
  return runs > 0 ? std::optional(sum / static_cast<double>(runs)) : std::nullopt;
}

std::string cell(const std::optional<End>& end) {
  if (!end) return "not evaluated";
  return fmt::format("{:.3f} <span class=\"muted\">[{:.3f}, {:.3f}]</span>", end->accuracy, end->interval.low,
                     end->interval.high);
}

std::string csv_row(const DatasetSummary& dataset, const Drawn& drawn, const std::string& domain, const char* metric,
                    const std::optional<End>& end, const std::optional<double>& above) {
  if (!end) return {};
  return fmt::format("{},{},{},{},{},{},{:.10g},{:.10g},{:.10g},{},{}\n", csv_text(dataset.dataset),
                     csv_text(drawn.summary->strategy), csv_text(domain), metric, end->runs, end->n, end->accuracy,
                     end->interval.low, end->interval.high, end->runs > 1 ? fmt::format("{:.10g}", end->sd) : "",
                     above ? fmt::format("{:.10g}", *above) : "");
}

}  // namespace

std::string domains_figure(const StudyResults& results, const DatasetSummary& dataset) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset);
  const std::vector<std::string> domains = domains_of(all);
  if (domains.empty()) return {};
  constexpr double kSide = 270, kTop = 62, kLeft = 66, kRight = 345, kDown = 350;
  constexpr size_t kColumns = 3;
  const auto rows = static_cast<double>((domains.size() + kColumns - 1) / kColumns);
  Svg svg(1040, kTop + (rows - 1) * kDown + kSide + 44,
          fmt::format("{}: accuracy in and out of domain", dataset.dataset));
  std::vector<Look> looks;
  for (const Drawn& d : all) looks.push_back(d.look);
  legend(svg, {60, 14}, 960, looks);
  const Span span = span_of(all);
  for (size_t i = 0; i < domains.size(); ++i) {
    const Spot corner{kLeft + kRight * static_cast<double>(i % kColumns),
                      kTop + kDown * static_cast<double>(i / kColumns)};
    const auto line = domain_line(runs_of(all), domains[i]);
    const Panel panel(
        svg, corner, kSide, kSide, probit_axis("accuracy in domain", span.low, span.high, kSide),
        probit_axis(i % kColumns == 0 ? "accuracy out of domain" : "", span.low, span.high, kSide),
        line ? fmt::format("{} (slope {:.2f}, R² {:.2f})", domains[i], line->slope, line->r2) : domains[i]);
    svg.line(panel.at(span.low, span.low), panel.at(span.high, span.high), {.colour = "#999", .dash = "4 4"});
    for (const Drawn& d : all)
      for (const RunResult* run : d.shown) draw_run(svg, panel, d, *run, domains[i]);
    if (line) draw_line(svg, panel, *line, span);
  }
  return svg.finish();
}

std::string domains_table(const StudyResults& results, const DatasetSummary& dataset, Captions& captions,
                          const std::string& link_html) {
  const std::vector<Drawn> all = drawn_strategies(results, dataset);
  const std::vector<std::string> domains = domains_of(all);
  if (domains.empty()) return {};
  bool attacked = false;
  for (const Drawn& d : all) attacked = attacked || end_in(d, domains.back(), true).has_value();
  std::vector<std::string> head = {"strategy", "in domain"};
  for (const std::string& domain : domains) head.push_back(html_escape(domain));
  if (attacked) head.push_back(html_escape(domains.back()) + ", attacked");
  const auto line = domain_line(runs_of(all), domains.back());
  if (line) head.emplace_back("above the line");
  HtmlTable table(head);
  for (const Drawn& d : all) {
    std::vector<std::string> cells = {html_escape(d.look.label), cell(own_end(d))};
    for (const std::string& domain : domains) cells.push_back(cell(end_in(d, domain)));
    if (attacked) cells.push_back(cell(end_in(d, domains.back(), true)));
    if (line) {
      const auto above = above_line(d, domains.back(), *line);
      cells.push_back(above ? fmt::format("{:+.3f}", *above) : "not evaluated");
    }
    table.row(cells);
  }
  return table.finish() +
         fmt::format(
             "<p class=\"caption\"><b>{}.</b> {}: accuracy at the end of training, in the domain of the training "
             "images "
             "and out of it; \"{}\" pools the images of the other domains. In brackets Wilson's 95 % intervals; of "
             "several runs, that of their mean on the images of one. {}{}</p>\n",
             captions.table(), html_escape(dataset.dataset), kPooled,
             line ? "Above the line: out-of-domain accuracy beyond what the fitted line expects of the accuracy in "
                    "domain. "
                  : "",
             link_html);
}

std::string domains_csv(const StudyResults& results, const Analysis& analysis) {
  std::string out = "dataset,strategy,domain,metric,runs,n,accuracy,low,high,run_sd,above_line\n";
  for (const DatasetSummary& dataset : analysis.datasets) {
    const std::vector<Drawn> all = drawn_strategies(results, dataset);
    const std::vector<std::string> domains = domains_of(all);
    if (domains.empty()) continue;
    for (const Drawn& d : all) {
      out += csv_row(dataset, d, "in domain", "clean", own_end(d), {});
      for (const std::string& domain : domains) {
        const auto line = domain_line(runs_of(all), domain);
        out +=
            csv_row(dataset, d, domain, "clean", end_in(d, domain), line ? above_line(d, domain, *line) : std::nullopt);
        out += csv_row(dataset, d, domain, "robust", end_in(d, domain, true), {});
      }
    }
  }
  return out;
}

}  // namespace taut::study
