// Finished runs in the formats of other tools, from a results store:
//
//   study-json    OUT/DATASET_CONFIG_LR_DECAY_SEED_trade-off_step.json, as the study's released code writes (one a run)
//   timm-csv      OUT, a table with the columns of timm's results and ours; runs that are not done are rows with errors
//   robustbench   OUT/RUN_ID.json, a model_info file of RobustBench
//   tensorboard   OUT/RUN_ID/events.out.tfevents...: every metric as a scalar
//   vega-lite     OUT/{trajectories,fronts,areas}.vl.json: specifications with their data inline
//
// Of runs without an attack there is no robust accuracy, loss or area in any of them.
//
// The same store gives the same bytes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "study/store/sqlite.h"

namespace taut::study {

enum class ExportFormat { kStudyJson, kTimmCsv, kRobustBench, kTensorBoard, kVegaLite };
ExportFormat export_format_by_name(const std::string& name);  // throws Error(kUsage)
std::string export_format_names();                            // "study-json, timm-csv, ..."

// Takes the files one after the other: a path relative to OUT (empty for OUT itself) and the bytes.
using ExportSink = std::function<void(const std::string& path, const std::string& bytes)>;

void export_study_json(Database& store, const ExportSink& sink);
void export_timm_csv(Database& store, const ExportSink& sink);
void export_robustbench(Database& store, const ExportSink& sink);
void export_tensorboard(Database& store, const ExportSink& sink);
void export_vega_lite(Database& store, const ExportSink& sink);

// Writes the files, each atomically, and returns their paths. Throws Error(kIo).
std::vector<std::string> write_export(Database& store, ExportFormat format, const std::string& out);

}  // namespace taut::study
