#include "study/run/model.h"

#include <filesystem>
#include <map>

#include "finetune/delta.h"
#include "finetune/foreign.h"
#include "finetune/nonfinite.h"
#include "kernels/error.h"
#include "nn/init.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "study/plan.h"

namespace taut::study {
namespace {

void set_precision(RunModel& model, const Config& config) {
  model.net->set_precision(precision_by_name(config.text("model.precision")));
}

void apply_strategy(RunModel& model, const Config& config) {
  model.strategy = &finetune::strategy(config.text("model.strategy"));
  model.options = strategy_options(config);
  model.base_hash = finetune::base_hash(*model.net);
  model.strategy->apply(*model.net, model.options, static_cast<uint64_t>(config.integer("seed")));
  set_precision(model, config);
}

// The directory says what the strategy is; settings may only agree.
void apply_foreign_delta(RunModel& model, const Config& config, const std::string& folder) {
  const bool drawn_head = model.new_head;
  const finetune::ForeignDelta delta = finetune::load_foreign_delta(folder, *model.net);
  if (drawn_head && !delta.has_head)
    fail(Exit::kBadData, "[{}] expected a head here or one of {} classes in model.weights, got none", folder,
         model.net->config().classes);
  const std::string& asked = config.text("model.strategy");
  TAUT_CHECK(config.source("model.strategy") == Source::kBuiltIn || asked == delta.method,
             "[model.strategy] expected {}, which {} holds, got '{}'", delta.method, folder, asked);
  model.strategy = delta.strategy;
  model.options = delta.options;
  model.notes.push_back(fmt::format("{}: {}", folder, delta.description));
  if (delta.has_head) std::erase_if(model.notes, [](const std::string& n) { return n.starts_with("the head of "); });
}

void load(RunModel& model, const Config& config, const std::string& file, bool new_head) {
  nn::LoadOptions options;
  options.allow_missing = config.texts("model.allow_missing");
  options.allow_unexpected = config.texts("model.allow_unexpected");
  options.new_head = new_head;
  const nn::LoadReport report = nn::load_weights(*model.net, file, options);
  model.weights_sha256 = report.sha256;
  if (report.positions_interpolated) model.notes.push_back("the position embedding was interpolated to the image size");
  for (const std::string& name : report.missing) model.notes.push_back("left as it was, not in the file: " + name);
  for (const std::string& name : report.unexpected) model.notes.push_back("not in the model: " + name);
  if (report.head_loaded) return;
  model.new_head = true;
  model.net->reset_head(model.net->config().classes, static_cast<uint64_t>(config.integer("seed")));
  const char* why = report.head_in_file ? "has another size" : "is missing";
  model.notes.push_back(fmt::format("the head of {} {}: a new one of {} classes is drawn from seed {}",
                                    std::filesystem::path(file).filename().string(), why, model.net->config().classes,
                                    config.integer("seed")));  // no folder: results are the same bytes anywhere
}

// Damaged numbers would only show as a loss that is not finite, much later.
void refuse_nonfinite(const RunModel& model, const std::string& file) {
  const std::string bad = finetune::first_nonfinite_parameter(*model.net);
  if (!bad.empty()) fail(Exit::kBadData, "[{}] {}; hint: taut weights inspect lists them", file, bad);
}

}  // namespace

std::shared_ptr<nn::ModelConfig> net_config(const Config& config, int64_t classes) {
  const std::shared_ptr<nn::ModelConfig> c =
      nn::model_config(config.text("model.name"), config.text("model.flavour"), classes);
  if (config.integer("model.image_size") > 0) c->image_size = config.integer("model.image_size");
  const auto channels = static_cast<size_t>(c->channels);
  for (const char* key : {"data.mean", "data.std"}) {
    const std::vector<double> values = config.numbers(key);
    if (values.empty()) continue;
    TAUT_CHECK(values.size() == channels, "[{}] expected {} values, one a channel, got {}", key, channels,
               values.size());
    (std::string(key) == "data.mean" ? c->mean : c->std) = values;
  }
  c->check();
  return c;
}

finetune::Mode mode_of(const Config& config) {
  return config.text("study.mode") == "official" ? finetune::Mode::kOfficial : finetune::Mode::kFixed;
}

double training_passes(const finetune::Strategy& strategy) {
  switch (strategy.reach()) {
    case finetune::Reach::kHead: return 1;
    case finetune::Reach::kFrozenBackbone: return 2;
    case finetune::Reach::kBackbone: return 3;
  }
  return 3;
}

finetune::StrategyOptions strategy_options(const Config& config) {
  finetune::StrategyOptions o;
  o.mode = mode_of(config);
  o.rank = config.integer("peft.rank");
  o.alpha = config.number("peft.alpha");
  o.reduction = config.integer("peft.reduction");
  o.bottleneck = config.integer("peft.bottleneck");
  o.phm_n = config.integer("peft.phm_n");
  o.phm_rank = config.integer("peft.phm_rank");
  return o;
}

RunModel training_model(const Config& config, const std::string& weights, int64_t classes) {
  RunModel model;
  const auto seed = static_cast<uint64_t>(config.integer("seed"));
  model.net = net_config(config, classes)->build();
  if (weights.empty()) {
    nn::init_model(*model.net, seed);
    model.notes.push_back("no weights were given: the backbone is drawn from the seed");
  } else {
    load(model, config, weights, true);
    refuse_nonfinite(model, weights);
  }
  apply_strategy(model, config);
  return model;
}

RunModel judged_model(const Config& config) {
  const std::shared_ptr<nn::ModelConfig> shape = net_config(config, config.integer("model.classes"));
  const std::string weights = located(config, "model.weights"), delta = located(config, "model.delta");
  TAUT_CHECK(!weights.empty(), "[model.weights] expected a file of weights to judge; hint: model.weights=FILE");
  TAUT_CHECK(config.text("model.weights") != "procedural",
             "[model.weights] 'procedural' is pre-trained by train and study; hint: give the file they left in "
             "pretrained/");
  RunModel model;
  model.net = shape->build();
  load(model, config, weights, !delta.empty());
  refuse_nonfinite(model, weights);
  if (finetune::is_foreign_delta(delta)) {
    apply_foreign_delta(model, config, delta);
    refuse_nonfinite(model, delta);
    set_precision(model, config);
    return model;
  }
  apply_strategy(model, config);
  if (!delta.empty()) finetune::load_delta(delta, *model.net, *model.strategy, model.options, model.base_hash);
  if (!delta.empty()) refuse_nonfinite(model, delta);
  return model;
}

RunModel counted_model(const Config& config) {
  RunModel model;
  model.net = net_config(config, config.integer("model.classes"))->build();
  model.strategy = &finetune::strategy(config.text("model.strategy"));
  model.options = strategy_options(config);
  model.strategy->apply(*model.net, model.options, 0);
  return model;
}

Preprocess preprocess_of(const Config& config, const nn::ModelConfig& model) {
  using Kind = Preprocess::Kind;
  static const std::map<std::string, Kind> kKinds{
      {"none", Kind::kNone}, {"stretch", Kind::kStretch}, {"short_side", Kind::kShortSide}, {"centre", Kind::kCentre}};
  static const std::map<nn::ImageRecipe::Resize, Kind> kOwn{{nn::ImageRecipe::Resize::kNone, Kind::kNone},
                                                            {nn::ImageRecipe::Resize::kStretch, Kind::kStretch},
                                                            {nn::ImageRecipe::Resize::kShortSide, Kind::kShortSide},
                                                            {nn::ImageRecipe::Resize::kCentre, Kind::kCentre}};
  const std::string &kind = config.text("data.resize"), &filter = config.text("data.filter");
  const int64_t asked = config.integer("data.short_side"), own = model.images.short_side;
  Preprocess how;
  how.kind = kind == "auto" ? kOwn.at(model.images.resize) : kKinds.at(kind);
  how.filter = filter == "bicubic" || (filter == "auto" && model.images.bicubic) ? Filter::kBicubic : Filter::kBilinear;
  how.channels = model.channels;
  if (how.kind != Kind::kNone) how.size = model.image_size;
  if (how.kind == Kind::kShortSide) how.short_side = asked > 0 ? asked : own > 0 ? own : model.image_size * 256 / 224;
  return how;
}

}  // namespace taut::study
