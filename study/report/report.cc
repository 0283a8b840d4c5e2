#include "study/report/report.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>

#include "kernels/error.h"
#include "study/report/domains.h"
#include "study/report/figures.h"
#include "study/report/markup.h"
#include "study/report/page.h"
#include "study/report/tables.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

constexpr size_t kLargestPlain = 1 << 20;  // bytes of a table that is written as it is

std::vector<DatasetFigures> draw(const StudyResults& results, const Analysis& analysis) {
  std::vector<DatasetFigures> out;
  for (const DatasetSummary& dataset : analysis.datasets) {
    DatasetFigures figures;
    figures.stem = fmt::format("{:02}-{}", out.size() + 1, slug(dataset.dataset));
    const bool areas = std::ranges::any_of(dataset.strategies, &StrategySummary::done);
    if (areas || std::ranges::any_of(dataset.strategies, &StrategySummary::unattacked)) {
      figures.trajectories = trajectory_figure(results, dataset);
      figures.domains = domains_figure(results, dataset);
      figures.shifts = shift_figure(results, dataset);
    }
    if (areas) {
      figures.plane = plane_figure(results, dataset);
      figures.areas = areas_figure(dataset);
      figures.fronts = fronts_figure(results, dataset);
      figures.courses = courses_figure(results, dataset);
      figures.runs = runs_figure(results, analysis, dataset);
    }
    out.push_back(std::move(figures));
  }
  return out;
}

// gzip (RFC 1952) without name or time: the same text gives the same bytes.
std::string gzip(const std::string& text) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  if (deflateInit2(&stream, 9, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (code != Z_STREAM_END) fail(Exit::kIo, "[report] a table could not be compressed");
  return out;
}

bool is_ours(const std::string& name) {
  const auto digit = [&](size_t i) { return name.size() > i && name[i] >= '0' && name[i] <= '9'; };
  return (digit(0) && digit(1) && name.ends_with(".html")) || name.ends_with(".csv") || name.ends_with(".csv.gz");
}

}  // namespace

std::vector<ReportFile> report_files(const StudyResults& results, const Analysis& analysis) {
  const std::vector<DatasetFigures> figures = draw(results, analysis);
  std::vector<ReportFile> files = {
      {"areas.csv", areas_csv(analysis)},          {"points.csv", points_csv(results)},
      {"fronts.csv", fronts_csv(results)},         {"pairs.csv", pairs_csv(analysis)},
      {"parameters.csv", parameters_csv(results)}, {"runs.csv", runs_csv(results, analysis)},
      {"checks.csv", checks_csv(results)},         {"table.md", area_table_markdown(results, analysis)}};
  const auto has_domains = [](const DatasetFigures& f) { return !f.domains.empty(); };
  if (std::ranges::any_of(figures, has_domains)) files.push_back({"domains.csv", domains_csv(results, analysis)});
  ReportContext report{results, analysis, figures, {}};
  for (ReportFile& file : files) {
    if (file.text.size() <= kLargestPlain || file.path == "areas.csv") continue;
    report.packed.insert(file.path);
    file = {file.path + ".gz", gzip(file.text)};
  }
  for (const DatasetFigures& f : figures) {
    for (const auto& [kind, svg] : {std::pair{"trajectories", &f.trajectories},
                                    {"plane", &f.plane},
                                    {"areas", &f.areas},
                                    {"fronts", &f.fronts},
                                    {"courses", &f.courses},
                                    {"runs", &f.runs},
                                    {"domains", &f.domains},
                                    {"shifts", &f.shifts}}) {
      if (!svg->empty()) files.push_back({fmt::format("figures/{}-{}.svg", f.stem, kind), *svg});
    }
  }
  for (size_t d = 0; d < figures.size(); ++d) files.push_back({figures[d].page(), dataset_page(report, d)});
  files.push_back({"index.html", index_page(report)});
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
  const auto written = [&files](const std::string& path) {
    return std::any_of(files.begin(), files.end(), [&path](const ReportFile& f) { return f.path == path; });
  };
  std::vector<fs::path> stale;
  for (const fs::directory_entry& entry : fs::directory_iterator(root / "figures")) {
    const std::string name = "figures/" + entry.path().filename().string();
    if (entry.path().extension() == ".svg" && !written(name)) stale.push_back(entry.path());
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (is_ours(name) && !written(name)) stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path, error);
  return (root / "index.html").string();
}

}  // namespace taut::study
