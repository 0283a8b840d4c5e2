// The exports that are one small text a run: the study's own JSON, timm's CSV, RobustBench's model_info.
#include <cmath>
#include <set>

#include "kernels/error.h"
#include "nn/model.h"
#include "study/export/export.h"
#include "study/export/runs.h"
#include "study/output.h"
#include "study/report/markup.h"
#include "study/run/directory.h"
#include "study/run/model.h"

namespace taut::study {
namespace {

// JSON has no NaN, and file names or messages may hold bytes that are no UTF-8.
std::string to_text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

// The name of a file that no earlier one has, however the file system treats case.
std::string unused(std::set<std::string>& names, const std::string& stem, const std::string& end) {
  for (int64_t i = 1;; ++i) {
    const std::string name = stem + (i == 1 ? "" : fmt::format("_{}", i)) + end;
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (names.insert(lower).second) return name;
  }
}

// How a run's images reach the model, as timm's columns say it; empty where the store does not tell.
struct ImageColumns {
  std::string size, crop_pct, interpolation;
};

ImageColumns image_columns(const StoredRun& run) {
  try {
    Config config;
    for (const auto& [key, value] : run.params) config.set(key, value, Source::kFile);
    const Preprocess how = preprocess_of(config, *net_config(config, run.classes));
    const int64_t size = net_config(config, run.classes)->image_size;
    const bool cropped = how.kind == Preprocess::Kind::kShortSide;
    const double crop = cropped ? static_cast<double>(how.size) / static_cast<double>(how.short_side) : 1.0;
    return {std::to_string(size), fmt::format("{:.3g}", crop), how.filter == Filter::kBicubic ? "bicubic" : "bilinear"};
  } catch (const Error&) {  // settings of another version
    return {};
  }
}

// As Python prints a float, which is how the released code names its files: 0.0005, 2e-05, 0.0.
std::string python_float(double v) {
  if (!std::isfinite(v)) return "unknown";
  const std::string text = fmt::format("{}", v);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string percent(double share) { return std::isfinite(share) ? fmt::format("{:.3f}", 100 * share) : ""; }

}  // namespace

void export_study_json(Database& store, const ExportSink& sink) {
  std::set<std::string> names;
  for (const StoredRun& run : stored_runs(store)) {
    if (run.state != "done") continue;
    const double lr = run.number("train.lr"), batch = run.number("train.batch");
    Json list = Json::array();
    for (const SqlRow& p :
         store.rows("SELECT step, clean, robust_last, mean_loss_adv, train, out_of_domain FROM v_point WHERE run_id = "
                    "? ORDER BY step",
                    {run.run_id})) {
      const auto step = static_cast<double>(integer_of(p[0]));
      const double images = static_cast<double>(run.train_images);
      Json entry = {{"step", integer_of(p[0])},
                    {"epoch", number_or_null(images > 0 ? step * batch / images : std::nan(""))},
                    {"learning_rate", number_or_null(lr)}};
      if (!is_null(p[4])) entry["train_clean_acc"] = number_of(p[4]);
      entry["test_clean_acc"] = number_or_null(number_of(p[1]));
      entry["pgd_adv_acc"] = number_or_null(number_of(p[2]));
      entry["pgd_loss"] = number_or_null(number_of(p[3]));
      if (!is_null(p[5])) entry["ood_clean_acc"] = number_of(p[5]);
      list.push_back(std::move(entry));
    }
    const std::string config =
        run.variant.empty() || run.variant == "base" ? run.strategy : run.strategy + "-" + run.variant;
    const std::string stem = file_name(fmt::format("{}_{}_{}_{}_{}", run.dataset, config, python_float(lr),
                                                   python_float(run.number("train.weight_decay")), run.seed));
    sink(unused(names, stem, "_trade-off_step.json"), to_text(list));
  }
}

void export_timm_csv(Database& store, const ExportSink& sink) {
  std::string out =
      "model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation,robust_top1,robust_best_top1,area,"
      "dataset,strategy,variant,seed,run_id,status,error,ood_top1,attack\n";
  for (const StoredRun& run : stored_runs(store)) {
    const ImageColumns images = image_columns(run);
    const bool done = run.state == "done";
    const std::string params = run.total > 0 ? fmt::format("{:.2f}", static_cast<double>(run.total) / 1e6) : "";
    out += fmt::format("{},{},{},{},,,{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_text(run.model), images.size,
                       percent(run.final_clean), percent(1 - run.final_clean), params, images.crop_pct,
                       images.interpolation, percent(run.final_robust), percent(run.final_robust_best),
                       std::isfinite(run.area) ? fmt::format("{:.6f}", run.area) : "", csv_text(run.dataset),
                       csv_text(run.strategy), csv_text(run.variant), run.seed, csv_text(run.run_id),
                       done ? "ok" : "error",
                       csv_text(done                ? ""
                                : run.error.empty() ? run.state
                                                    : run.error),
                       percent(run.final_out_of_domain), csv_text(run.param("attack.name")));
  }
  sink("", out);
}

void export_robustbench(Database& store, const ExportSink& sink) {
  std::set<std::string> names, failed;
  for (const SqlRow& row : store.rows("SELECT DISTINCT run_id FROM harness_check WHERE pass = 0"))
    failed.insert(text_of(row[0]));
  for (const StoredRun& run : stored_runs(store)) {
    if (run.state != "done" || !run.attacked()) continue;
    const std::string norm = run.param("attack.norm") == "l2" ? "L2" : "Linf";
    const Json info = {{"link", nullptr},
                       {"name", fmt::format("{} fine-tuned by {}", run.model, run.strategy)},
                       {"authors", nullptr},
                       {"additional_data", !run.param("model.weights").empty()},
                       {"number_forward_passes", 1},
                       {"dataset", run.dataset},
                       {"venue", "Tautline"},
                       {"architecture", run.model},
                       {"eps", run.param("attack.eps")},
                       {"clean_acc", percent(run.final_clean)},
                       {"reported", percent(run.final_robust)},
                       {"autoattack_acc", nullptr},
                       {"unreliable", failed.contains(run.run_id)},
                       {"threat_model", norm},
                       {"footnote", fmt::format("reported is accuracy under {} with {} steps, not AutoAttack's; run {}",
                                                run.param("attack.name", "an attack"),
                                                run.param("attack.steps", "unknown"), run.run_id)}};
    sink(unused(names, file_name(run.run_id), ".json"), to_text(info));
  }
}

}  // namespace taut::study
