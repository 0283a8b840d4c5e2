#include "study/report/report.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "kernels/error.h"
#include "study/report/figures.h"
#include "study/report/markup.h"
#include "study/report/page.h"
#include "study/report/tables.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

std::vector<DatasetFigures> draw(const StudyResults& results, const Analysis& analysis) {
  std::vector<DatasetFigures> out;
  for (const DatasetSummary& dataset : analysis.datasets) {
    DatasetFigures figures;
    figures.stem = fmt::format("{:02}-{}", out.size() + 1, slug(dataset.dataset));
    const bool any = std::any_of(dataset.strategies.begin(), dataset.strategies.end(),
                                 [](const StrategySummary& s) { return s.done > 0; });
    if (any) {
      figures.trajectories = trajectory_figure(results, dataset);
      figures.plane = plane_figure(results, dataset);
      figures.areas = areas_figure(dataset);
      figures.fronts = fronts_figure(results, dataset);
      if (!dataset.shifts.empty()) figures.shifts = shift_figure(results, dataset);
    }
    out.push_back(std::move(figures));
  }
  return out;
}

}  // namespace

std::vector<ReportFile> report_files(const StudyResults& results, const Analysis& analysis) {
  const std::vector<DatasetFigures> figures = draw(results, analysis);
  std::vector<ReportFile> files = {
      {"areas.csv", areas_csv(analysis)},          {"points.csv", points_csv(results)},
      {"fronts.csv", fronts_csv(results)},         {"pairs.csv", pairs_csv(analysis)},
      {"parameters.csv", parameters_csv(results)}, {"runs.csv", runs_csv(results, analysis)},
      {"checks.csv", checks_csv(results)},         {"table.md", area_table_markdown(results, analysis)}};
  for (const DatasetFigures& f : figures) {
    for (const auto& [kind, svg] : {std::pair{"trajectories", &f.trajectories},
                                    {"plane", &f.plane},
                                    {"areas", &f.areas},
                                    {"fronts", &f.fronts},
                                    {"shifts", &f.shifts}}) {
      if (!svg->empty()) files.push_back({fmt::format("figures/{}-{}.svg", f.stem, kind), *svg});
    }
  }
  files.push_back({"index.html", report_html(results, analysis, figures)});
  return files;
}

std::string write_report(const StudyResults& results, const Analysis& analysis, const std::string& folder) {
  namespace fs = std::filesystem;
  const std::vector<ReportFile> files = report_files(results, analysis);
  const fs::path root(folder);
  std::error_code error;
  fs::create_directories(root / "figures", error);
  if (error) fail(Exit::kIo, "[{}] cannot make the folder: {}", folder, error.message());
  for (const ReportFile& file : files) write_file_atomically((root / file.path).string(), file.text);
  for (const fs::directory_entry& entry : fs::directory_iterator(root / "figures")) {
    const std::string name = "figures/" + entry.path().filename().string();
    const bool ours = std::any_of(files.begin(), files.end(), [&name](const ReportFile& f) { return f.path == name; });
    if (!ours && entry.path().extension() == ".svg") fs::remove(entry.path(), error);
  }
  return (root / "index.html").string();
}

}  // namespace taut::study
