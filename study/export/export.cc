#include "study/export/export.h"

#include <filesystem>
#include <iterator>

#include "kernels/error.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

struct Known {
  const char* name;
  ExportFormat format;
  void (*write)(Database&, const ExportSink&);
};

constexpr Known kKnown[] = {{"study-json", ExportFormat::kStudyJson, export_study_json},
                            {"timm-csv", ExportFormat::kTimmCsv, export_timm_csv},
                            {"robustbench", ExportFormat::kRobustBench, export_robustbench},
                            {"tensorboard", ExportFormat::kTensorBoard, export_tensorboard},
                            {"vega-lite", ExportFormat::kVegaLite, export_vega_lite}};

}  // namespace

std::string export_format_names() {
  std::string names;
  for (const Known& k : kKnown) names += (names.empty() ? "" : ", ") + std::string(k.name);
  return names;
}

ExportFormat export_format_by_name(const std::string& name) {
  for (const Known& k : kKnown)
    if (name == k.name) return k.format;
  fail(Exit::kUsage, "[--format] expected one of {}, got '{}'", export_format_names(), name);
}

std::vector<std::string> write_export(Database& store, ExportFormat format, const std::string& out) {
  std::vector<std::string> files;
  const auto sink = [&](const std::string& path, const std::string& bytes) {
    files.push_back(path.empty() ? out : out + "/" + path);
    const std::filesystem::path parent = std::filesystem::path(files.back()).parent_path();
    if (!parent.empty()) make_folder(parent.string());
    write_file_atomically(files.back(), bytes);
  };
  for (const Known& k : kKnown)
    if (k.format == format) k.write(store, sink);
  return files;
}

}  // namespace taut::study
