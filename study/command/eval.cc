// taut eval, taut attack: one model judged on one data set.
#include <algorithm>
#include <chrono>

#include "kernels/error.h"
#include "kernels/tell.h"
#include "nn/models.h"
#include "study/command/command.h"
#include "study/run/data.h"
#include "study/run/evaluate.h"
#include "study/run/interrupt.h"
#include "study/run/model.h"
#include "study/run/point.h"

namespace taut::study {
namespace {

struct Judged {
  RunModel model;
  StorePtr data;
  attacks::Subject subject;
  attacks::Batches batches;
  attacks::EvaluateOptions options;
};

void tell_all(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) tell("{}\n", note);
}

Judged prepare(const Config& config, Device device) {
  Judged j;
  j.model = judged_model(config);
  j.model.net->to(device);
  tell_all(j.model.notes);
  const nn::ModelConfig& shape = j.model.net->config();
  // One pass over the images gains nothing from a cache; later ones do, where a folder is named.
  const DecodedCache cache{.folder = config.text("data.cache") == "auto" ? "" : cache_folder(config, ""),
                           .say = [](const std::string& line) { tell("{}\n", line); },
                           .follow = [](int64_t, int64_t) { stop_if_interrupted("decode"); }};
  j.data = open_judged_data(config, preprocess_of(config, shape), cache.folder.empty() ? nullptr : &cache);
  check_labels(j.data->dataset(), shape.classes);
  tell_all(j.data->dataset().notes());
  if (j.data->dataset().classes() != shape.classes)
    tell("the data has {} classes, the model {}: label k is taken for output k\n", j.data->dataset().classes(),
         shape.classes);
  j.subject = subject_of(j.model);
  j.batches = batches_of(j.data, shape.channels, shape.image_size);
  j.options.n = j.data->size();
  j.options.batch = config.integer("eval.batch");
  j.options.seed = static_cast<uint64_t>(config.integer("seed"));
  return j;
}

void follow(attacks::EvaluateOptions& options, Progress& progress, const char* command, const char* what) {
  options.progress = [&progress, command, what, n = options.n, done = int64_t{0}](int64_t now) mutable {
    progress.set_label(fmt::format("{} {} of {} images", what, now, n));
    progress.advance(static_cast<double>(now - done));
    done = now;
    stop_if_interrupted(command, "nothing was saved: the same command begins anew");
  };
}

void put(Row& row, const std::string& name, int64_t correct, int64_t n) {
  const attacks::Interval i = attacks::binomial_interval(correct, n);
  row[name] = n > 0 ? static_cast<double>(correct) / static_cast<double>(n) : 0.0;
  row[name + "_low"] = i.low;
  row[name + "_high"] = i.high;
}

// Whether the settings leave out images of the split.
bool is_limited(const Config& config) {
  return config.integer("data.limit") > 0 || config.integer("eval.n") > 0 || config.integer("eval.per_class") > 0;
}

Row evaluate(const Config& config, ProgressMode mode, Device device) {
  Judged j = prepare(config, device);
  Progress progress(mode, static_cast<double>(j.options.n));
  follow(j.options, progress, "eval", "judged");
  const auto begin = std::chrono::steady_clock::now();
  const attacks::CleanResult r = evaluate_clean(j.subject, j.batches, j.options);
  Row row = {{"model", config.text("model.name")}, {"data", j.data->dataset().name()}};
  row["n"] = r.n;
  row["top1_correct"] = r.top1_correct;
  row["top5_correct"] = r.top5_correct;
  put(row, "top1", r.top1_correct, r.n);
  put(row, "top5", r.top5_correct, r.n);
  row["mean_loss"] = r.mean_loss;
  row["limited"] = is_limited(config);
  row["images_per_second"] = static_cast<double>(r.n) / seconds_since(begin);
  return row;
}

Row attack(const Config& config, ProgressMode mode, Device device) {
  refuse_unread_attack_settings(config);
  const attacks::AttackConfig a = attack_config(config);
  Judged j = prepare(config, device);
  Progress progress(mode, static_cast<double>(j.options.n));
  follow(j.options, progress, "attack", "attacked");
  const auto begin = std::chrono::steady_clock::now();
  const attacks::RobustResult r = evaluate_robust(j.subject, j.batches, a, j.options);
  Row row = {{"model", config.text("model.name")},
             {"data", j.data->dataset().name()},
             {"attack", a.name},
             {"norm", config.text("attack.norm")},
             {"eps", a.eps},
             {"alpha", a.alpha},
             {"steps", a.steps},
             {"random_start", a.random_start},
             {"loss", a.loss == attacks::Loss::kMargin ? "margin" : "ce"},
             {"restarts", a.restarts},
             {"targets", std::min(a.targets, j.subject.classes - 1)},  // all that there are
             {"seed", config.integer("seed")}};
  row["n"] = r.n;
  row["clean_correct"] = r.clean_correct;
  row["robust_last_correct"] = r.robust_last_correct;
  row["robust_best_correct"] = r.robust_best_correct;
  put(row, "clean", r.clean_correct, r.n);
  put(row, "robust_last", r.robust_last_correct, r.n);
  put(row, "robust_best", r.robust_best_correct, r.n);
  row["max_perturbation"] = r.tally.max_perturbation;
  row["mean_loss_clean"] = r.tally.mean_loss_clean();
  row["mean_loss_adv"] = r.tally.mean_loss_adv();
  row["loss_increase_share"] = r.tally.loss_increase_share();
  row["zero_gradient_share"] = r.tally.zero_gradient_share();
  for (const attacks::CheckResult& c : r.checks) row["check_" + c.name] = (c.pass ? "pass: " : "FAIL: ") + c.value;
  row["limited"] = is_limited(config);
  row["seconds"] = seconds_since(begin);
  return row;
}

}  // namespace

void add_eval_commands(CLI::App& app, const ExitCode&) {
  CLI::App* eval = app.add_subcommand("eval", "accuracy of a model: model.name= model.weights= data.path= ...");
  const CommonPtr eval_common = add_common(*eval);
  add_settings(*eval, eval_common);
  eval->callback([eval_common] {
    const Device device = begin_on_device(*eval_common);
    install_interrupt_handlers();
    const Config config = settings_of(*eval_common);
    print_rows({evaluate(config, progress_mode_by_name(eval_common->progress), device)},
               format_by_name(eval_common->format));
  });

  CLI::App* attacked = app.add_subcommand("attack", "accuracy of a model under attack: `taut ls attacks`");
  attacked->require_subcommand(1);
  for (const attacks::Attack& listed : attacks::attack_list()) {
    const char* name = listed.name;
    CLI::App* one = attacked->add_subcommand(name, listed.description);
    const CommonPtr common = add_common(*one);
    add_settings(*one, common);
    one->callback([common, name] {
      const Device device = begin_on_device(*common);
      install_interrupt_handlers();
      Config config = settings_of(*common);
      TAUT_CHECK(config.source("attack.name") != Source::kCommandLine || config.text("attack.name") == name,
                 "[attack.name] expected {}, the attack that was asked for, got {}", name, config.text("attack.name"));
      config.set("attack.name", name, Source::kCommandLine);
      print_rows({attack(config, progress_mode_by_name(common->progress), device)}, format_by_name(common->format));
    });
  }
}

}  // namespace taut::study
