#include "study/run/run.h"

#include <chrono>
#include <filesystem>
#include <set>
#include <utility>

#include "finetune/delta.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/tell.h"
#include "study/run/environment.h"
#include "study/run/evaluate.h"
#include "study/run/interrupt.h"
#include "study/run/setup.h"
#include "study/run/state.h"
#include "study/run/stored_result.h"
#include "study/schedule.h"
#include "study/text_file.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace {

using Clock = std::chrono::steady_clock;

finetune::TrainOptions train_options(const Config& config, int64_t total) {
  finetune::TrainOptions o;
  o.lr = config.number("train.lr");
  o.weight_decay = config.number("train.weight_decay");
  o.clip = config.number("train.clip");
  o.label_smoothing = config.number("train.label_smoothing");
  o.mode = mode_of(config);
  const std::string& kind = config.text("train.schedule");
  o.schedule.kind = kind == "linear"   ? nn::ScheduleKind::kLinear
                    : kind == "cosine" ? nn::ScheduleKind::kCosine
                                       : nn::ScheduleKind::kConstant;
  o.schedule.warmup = config.integer("train.warmup");
  o.schedule.total = total;
  return o;
}

// Writes the settings, or compares them with those the directory began with. Returns whether they were forced.
bool settle_settings(const PlanRow& row, const RunDirectory& directory, bool force) {
  const std::string path = directory.file("config.resolved.toml");
  if (!std::filesystem::exists(path)) return false;
  const std::vector<std::string> differences = row.config.differences(read_resolved(path));
  if (differences.empty()) return false;
  std::string list;
  for (const std::string& d : differences) list += (list.empty() ? "" : ", ") + d;
  TAUT_CHECK(force, "[{}] the run was begun with other settings: {}; hint: another --out, or --force-resume",
             directory.path(), list);
  return true;
}

class Run {
 public:
  Run(const PlanRow& row, const std::string& folder, const RunOptions& options)
      : row_(row), config_(row.config), options_(options), directory_(folder) {}

  Json result() {
    if (!options_.points.empty()) remove_orphans(options_.points);
    state_.forced = settle_settings(row_, directory_, options_.force_resume);
    if (state_.forced) directory_.remove("result.json");
    Json result = take_result(directory_, row_.run_id, [this](const std::string& line) { say(line); });
    if (!result.is_null()) {
      clean_up();
      say("already done");
      return result;
    }
    directory_.write("config.resolved.toml", config_.to_toml());
    directory_.write("env.json", environment().dump(2) + "\n");
    directory_.remove("failed.json");
    prepare();
    loop();
    return finish();
  }

 private:
  void say(const std::string& line) {
    directory_.log(line);
    const std::string text = row_.run_id + ": " + line;
    if (options_.progress != nullptr)
      options_.progress->say(text);
    else
      tell("{}\n", text);
  }

  void prepare() {
    RunSetup setup = set_up(row_, directory_.path(), options_, [this](const std::string& line) { say(line); });
    data_ = std::move(setup.data);
    model_ = std::move(setup.model);
    total_ = setup.total;
    points_ = {setup.points.begin(), setup.points.end()};
    trainer_ = std::make_unique<finetune::Trainer>(model_.net, train_options(config_, total_));
    if (model_.strategy->reach() == finetune::Reach::kHead) cache_ = std::make_unique<FeatureCache>(model_.net);
    evaluator_ = std::make_unique<Evaluator>(config_, directory_, model_, data_, cache_.get(), options_.progress);
    loader_ = std::make_unique<Loader>(data_.train, order_of(config_, data_.train->size()), LoaderOptions{});
    warn_of_full_disk();
    resume();
    for (const auto& notes : {row_.notes, data_.notes, model_.notes})
      for (const std::string& note : notes)
        if (state_.step == 0) say(note);
  }

  void warn_of_full_disk() {
    std::error_code error;
    const std::filesystem::space_info disk = std::filesystem::space(directory_.path(), error);
    // As many as are kept, one more that is no planned one, and the one that is being written.
    const int64_t need = (config_.integer("train.keep") + 2) * checkpoint_bytes(model_);
    if (error || disk.available >= static_cast<uintmax_t>(need)) return;
    say(
        fmt::format("warning: the checkpoints take about {:.3g} MB, {:.3g} MB are free; hint: make room, train.keep=1, "
                    "or another --out",
                    static_cast<double>(need) * 1e-6, static_cast<double>(disk.available) * 1e-6));
  }

  void resume() {
    std::vector<int64_t> without_verdicts;  // on evaluations before them, which nothing would measure again
    const auto last = read_last_checkpoint(
        directory_.path(), [&](const std::string& w) { say("warning: " + w); },
        [&](const Checkpoint& checkpoint) {
          without_verdicts.push_back(checkpoint.step);
          check_verdicts_there(directory_.path(), checkpoint.state.at("evaluations"));
          without_verdicts.pop_back();
        });
    for (const int64_t step : without_verdicts) discard_checkpoint(directory_.path(), step);
    if (!last) {
      directory_.truncate_metrics(0);
      return;
    }
    state_ = load_state(*last, config_, model_, *trainer_);
    directory_.truncate_metrics(last->state.at("metrics_bytes").get<int64_t>());
    loader_->seek(state_.step);
    say(fmt::format("resumed at step {} of {}", state_.step, total_));
    if (options_.progress == nullptr) return;
    double behind = train_units() * static_cast<double>(state_.step);
    for (const int64_t p : points_)
      if (p < state_.step) behind += evaluation_cost(config_, data_);
    options_.progress->skip(behind);
  }

  double train_units() const {
    return training_passes(*model_.strategy) * static_cast<double>(config_.integer("train.batch"));
  }
  bool is_planned(int64_t step) const {
    const int64_t every = config_.integer("train.checkpoint_every");
    return points_.contains(step) || (every > 0 && step % every == 0);
  }

  void prune() {
    prune_checkpoints(directory_.path(), config_.integer("train.keep"), [&](int64_t s) { return is_planned(s); });
  }

  void checkpoint() {
    save_state(directory_.path(), state_, config_, directory_.sync_metrics(), model_, *trainer_);
    directory_.remove("evaluation.json");  // of a point that is behind now
    prune();
  }

  void loop() {
    Clock::time_point begin = Clock::now();
    while (true) {
      label();
      if (points_.contains(state_.step)) {
        timing("train", seconds_since(begin));
        begin = Clock::now();
        if (state_.step == total_ && config_.text("study.mode") == "official") restore_best(state_, model_);
        if (options_.points.empty())
          evaluate();
        else
          save_point(options_.points, state_.step, config_, model_);
        timing("evaluate", seconds_since(begin));
        begin = Clock::now();
      }
      if (state_.step == total_) return;
      update();
      if (interrupted() || is_planned(state_.step)) checkpoint();
      if (interrupted()) timing("train", seconds_since(begin));
      stop_if_interrupted("train");
    }
  }

  void evaluate() {
    state_.evaluations.push_back(evaluator_->evaluate(state_.step, state_.step == total_));
    const Json& point = state_.evaluations.back();
    directory_.log(fmt::format("step {}: clean {} and robust {} of {}", state_.step, point["clean_correct"].dump(),
                               point["robust_last_correct"].dump(), data_.test->size()));
  }

  void label() {
    if (options_.progress == nullptr) return;
    options_.progress->set_label(fmt::format("{} step {} of {}", row_.run_id, state_.step, total_));
  }

  void timing(const char* what, double seconds) {
    directory_.append_timing({{"step", state_.step}, {"what", what}, {"seconds", seconds}});
  }

  struct Loaded {
    Tensor images, labels;
  };
  Loaded loaded() {
    const Batch batch = loader_->next();
    return {images_of(batch), labels_of(batch)};
  }

  finetune::StepResult train_step() {
    if (cache_ == nullptr) {
      if (!next_.images.defined()) next_ = loaded();
      const Loaded now = std::exchange(next_, {});
      if (options_.device.kind != DeviceKind::kCpu && state_.step + 1 < total_) {
        next_ = loaded();
        trainer_->prefetch(next_.images, next_.labels);
      }
      return trainer_->step(now.images, now.labels);
    }
    const std::vector<int64_t> indices = order_of(config_, data_.train->size()).indices(state_.step);
    std::vector<int64_t> labels;
    for (const int64_t i : indices) labels.push_back(data_.train->dataset().label(i));
    return trainer_->step_on_features(cache_->features(data_.train, indices),
                                      Tensor::from(labels, {static_cast<int64_t>(labels.size())}));
  }

  void update() {
    const finetune::StepResult r = train_step();
    ++state_.step;
    if (options_.progress != nullptr) options_.progress->advance(train_units());
    if (state_.step % config_.integer("train.log_every") == 0 || state_.step == total_) {
      for (const auto& [metric, value] :
           {std::pair{"loss", r.loss}, std::pair{"lr", r.lr}, std::pair{"gradient_norm", r.gradient_norm}})
        directory_.append_metric({{"step", state_.step}, {"split", "train"}, {"metric", metric}, {"value", value}});
    }
    const int64_t epoch = loader_->steps_per_epoch();
    if (config_.text("study.mode") == "official" && data_.validation != nullptr &&
        (state_.step % epoch == 0 || state_.step == total_))
      judge_epoch();
  }

  // Keeps the best epoch by validation accuracy, as the released code's trainer does.
  void judge_epoch() {
    const nn::ModelConfig& shape = model_.net->config();
    attacks::EvaluateOptions options;
    options.n = data_.validation->size();
    options.batch = config_.integer("eval.batch");
    const attacks::CleanResult r =
        evaluate_clean(subject_of(model_), batches_of(data_.validation, shape.channels, shape.image_size), options);
    directory_.append_metric({{"step", state_.step},
                              {"split", "validation"},
                              {"metric", "clean_accuracy"},
                              {"value", static_cast<double>(r.top1_correct) / static_cast<double>(r.n)},
                              {"n", r.n}});
    if (r.top1_correct <= state_.best_correct) return;
    state_.best_correct = r.top1_correct;
    state_.best_step = state_.step;
    for (const auto& [path, tensor] : changing_tensors(*model_.net)) state_.best[path] = tensor.clone();
  }

  Json finish() {
    prune();  // the process that wrote the last checkpoint may have ended before it did
    const std::string delta = directory_.file("delta.safetensors");
    finetune::save_delta(delta, *model_.net, *model_.strategy, model_.options, model_.base_hash);
    const auto images = static_cast<double>(total_ * config_.integer("train.batch"));
    const double flops = model_.net->config().forward_flops();
    Json notes = Json::array();
    for (const auto& list : {row_.notes, data_.notes, model_.notes})
      for (const std::string& note : list) notes.push_back(note);
    const Json result = {{"run_id", row_.run_id},
                         {"dataset", row_.dataset},
                         {"strategy", row_.strategy},
                         {"variant", row_.variant},
                         {"seed", config_.integer("seed")},
                         {"mode", config_.text("study.mode")},
                         {"model", config_.text("model.name")},
                         {"precision", config_.text("model.precision")},
                         {"steps", total_},
                         {"classes", model_.net->config().classes},
                         {"class_names", data_.class_names},
                         {"trainable", model_.net->trainable_parameter_count()},
                         {"total", model_.net->parameter_count()},
                         {"images_trained", static_cast<int64_t>(images)},
                         {"train_images", data_.train->size()},
                         {"test_images", data_.test->size()},
                         {"train_flops", images * training_passes(*model_.strategy) * flops},
                         {"eval_flops", static_cast<double>(points_.size()) * evaluation_cost(config_, data_) * flops},
                         {"warmup", config_.integer("train.warmup")},
                         {"best_step", state_.best_step},
                         {"data_sha256", data_.train->dataset().list_sha256()},
                         {"config_sha256", config_.hash()},
                         {"base_sha256", model_.base_hash},
                         {"weights_sha256", model_.weights_sha256},
                         {"delta_sha256", sha256_of_file(delta)},
                         {"forced_resume", state_.forced},
                         {"notes", notes},
                         {"evaluations", state_.evaluations}};
    directory_.sync_metrics();
    directory_.write("result.json", result.dump(2) + "\n");
    clean_up();
    say(fmt::format("done, {} steps", total_));
    return result;
  }

  void clean_up() { directory_.remove("evaluation.json"); }

  const PlanRow& row_;
  const Config& config_;
  const RunOptions& options_;
  RunDirectory directory_;
  RunData data_;
  RunModel model_;
  int64_t total_ = 0;
  std::set<int64_t> points_;
  std::unique_ptr<finetune::Trainer> trainer_;
  std::unique_ptr<FeatureCache> cache_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<Loader> loader_;
  Loaded next_;  // the batch after the one that trains, on its way to a GPU
  RunState state_;
};

}  // namespace

double run_cost(const PlanRow& row) {
  const Config& c = row.config;
  const RunData data = open_run_data(c, preprocess_of(c, *net_config(c, c.integer("model.classes"))));
  const int64_t total = total_steps(c, data.train->size());
  const double points =
      static_cast<double>(evaluation_points(c.text("eval.schedule"), c.integers("eval.points"), total).size());
  return points * evaluation_cost(c, data) +
         training_passes(finetune::strategy(row.strategy)) * static_cast<double>(total * c.integer("train.batch"));
}

Json run(const PlanRow& row, const std::string& folder, const RunOptions& options) {
  if (row.config.integer("threads") > 0) set_num_threads(static_cast<int>(row.config.integer("threads")));
  return Run(row, folder, options).result();
}

}  // namespace taut::study
