// taut train: one run in one directory.
#include "kernels/error.h"
#include "study/command/submit.h"
#include "study/run/interrupt.h"
#include "study/run/point.h"
#include "study/run/pretrain.h"
#include "study/run/run.h"
#include "study/run/used_shapes.h"
#include "tensor/atomic_file.h"

namespace taut::study {

Row last_point(const Config& config, const Json& result) {
  const Json& last = result.at("evaluations").back();
  Row row;
  for (const char* field : {"run_id", "dataset", "strategy", "seed", "steps", "trainable", "total"})
    row[field] = result.at(field);
  for (const char* field : {"n", "clean_correct", "robust_last_correct", "robust_best_correct", "mean_loss_clean",
                            "mean_loss_adv", "max_perturbation"})
    row[field] = last.at(field);
  if (!is_attacked(config))
    for (const char* field : {"robust_last_correct", "robust_best_correct", "mean_loss_adv", "max_perturbation"})
      row[field] = nullptr;
  return row;
}

void add_train_command(CLI::App& app, const ExitCode&) {
  CLI::App* train =
      app.add_subcommand("train", "fine-tune a model and evaluate it on the way; goes on where it stopped");
  const CommonPtr common = add_common(*train);
  add_settings(*train, common, true);
  const auto out = std::make_shared<std::string>(), shapes = std::make_shared<std::string>();
  const auto force = std::make_shared<bool>(false);
  train->add_option("--out", *out, "the run's directory")->required();
  train->add_option("--record-shapes", *shapes,
                    "a file for the shapes of single kernels that it calls: taut kernel bench --shapes FILE");
  train->add_flag("--force-resume", *force, "go on although settings changed");
  train->callback([common, out, force, shapes] {
    const Device device = begin_on_device(*common);
    install_interrupt_handlers();
    const PlanRow row = run_of(*common);
    refuse_unread_attack_settings(row.config);
    Progress progress(progress_mode_by_name(common->progress),
                      run_cost(row) + pretraining_cost(row.config, *out + "/pretrained"));
    std::optional<UsedShapes> used;
    if (!shapes->empty()) used.emplace(precision_by_name(row.config.text("model.precision")));
    const Json result = run(row, *out, {.cache = "", .device = device, .force_resume = *force, .progress = &progress});
    print_rows({last_point(row.config, result)}, format_by_name(common->format));
    // A run that was finished before called nothing: what is known of it stays.
    if (used && !used->rows().empty()) write_file_atomically(*shapes, to_text(used->rows(), Format::kJson));
  });
}

}  // namespace taut::study
