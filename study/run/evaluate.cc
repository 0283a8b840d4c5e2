#include "study/run/evaluate.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "kernels/error.h"
#include "study/run/checkpoint.h"
#include "study/run/interrupt.h"
#include "study/text_file.h"
#include "tensor/safetensors.h"

namespace taut::study {
namespace {

constexpr const char* kPartial = "evaluation.json";
constexpr double kSaveSeconds = 0.5;  // evaluation.json is no result, so that the clock may decide when it is written
constexpr int64_t kCleanBatches = 16;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string bits(const std::vector<uint8_t>& flags) {
  std::string text;
  for (const uint8_t f : flags) text += f != 0 ? '1' : '0';
  return text;
}

template <class T>
using TallyField = std::pair<const char*, T attacks::Tally::*>;
constexpr TallyField<double> kTallyNumbers[] = {{"loss_clean", &attacks::Tally::loss_clean},
                                                {"loss_adv", &attacks::Tally::loss_adv},
                                                {"max_perturbation", &attacks::Tally::max_perturbation},
                                                {"low", &attacks::Tally::low},
                                                {"high", &attacks::Tally::high}};
constexpr TallyField<int64_t> kTallyCounts[] = {{"images", &attacks::Tally::images},
                                                {"nonfinite", &attacks::Tally::nonfinite},
                                                {"verdicts_differ", &attacks::Tally::verdicts_differ},
                                                {"unexplained", &attacks::Tally::unexplained},
                                                {"clean_verdicts_differ", &attacks::Tally::clean_verdicts_differ},
                                                {"clean_unexplained", &attacks::Tally::clean_unexplained},
                                                {"steps_not_falling", &attacks::Tally::steps_not_falling},
                                                {"steps", &attacks::Tally::steps},
                                                {"zero_images", &attacks::Tally::zero_images},
                                                {"zero_pixels", &attacks::Tally::zero_pixels},
                                                {"judged_pixels", &attacks::Tally::judged_pixels}};

Json tally_to_json(const attacks::Tally& tally) {
  Json json;
  for (const auto& [name, member] : kTallyCounts) json[name] = tally.*member;
  for (const auto& [name, member] : kTallyNumbers) json[name] = tally.*member;
  return json;
}

attacks::Tally tally_from_json(const Json& json) {
  attacks::Tally tally;
  for (const auto& [name, member] : kTallyCounts) json.at(name).get_to(tally.*member);
  for (const auto& [name, member] : kTallyNumbers) json.at(name).get_to(tally.*member);
  return tally;
}

Json to_json(const attacks::RobustResult& r) {
  return {{"n", r.n},
          {"clean", bits(r.clean_ok)},
          {"last", bits(r.last_ok)},
          {"best", bits(r.best_ok)},
          {"tally", tally_to_json(r.tally)}};
}

int64_t ones(const std::string& flags) { return std::count(flags.begin(), flags.end(), '1'); }

// All images of the other domains together, as the study counts them, and beside it the mean of the domains' own
// accuracies. Null where there is no other domain.
Json out_of_domain(const Json& shifted) {
  Json pooled = Json::object();
  double sum = 0;
  int64_t domains = 0;
  for (const Json& s : shifted) {
    if (!s["other_domain"].get<bool>()) continue;
    ++domains;
    for (const char* field : {"n", "correct", "robust_last_correct", "robust_best_correct"})
      if (s.contains(field)) pooled[field] = pooled.value(field, int64_t{0}) + s[field].get<int64_t>();
    sum += s["correct"].get<double>() / s["n"].get<double>();
  }
  if (domains == 0) return nullptr;
  pooled["domains"] = domains;
  pooled["mean_accuracy"] = sum / static_cast<double>(domains);
  return pooled;
}

}  // namespace

attacks::AttackConfig attack_config(const Config& config) {
  attacks::AttackConfig a;
  a.name = config.text("attack.name");
  a.norm = config.text("attack.norm") == "l2" ? attacks::Norm::kL2 : attacks::Norm::kLinf;
  a.eps = config.number("attack.eps");
  a.alpha = config.number("attack.alpha");
  a.steps = config.integer("attack.steps");
  a.random_start = config.flag("attack.random_start");
  a.loss = config.text("attack.loss") == "margin" ? attacks::Loss::kMargin : attacks::Loss::kCrossEntropy;
  a.restarts = config.integer("attack.restarts");
  a.targets = config.integer("attack.targets");
  return attacks::resolve(a);
}

attacks::Subject subject_of(const RunModel& model) {
  const auto attacked = finetune::evaluation_model(*model.net, *model.strategy, model.options);
  const auto judge = finetune::rebuild(*model.net, *model.strategy, model.options);
  attacks::Subject subject;
  subject.attacked = [attacked](const Var& images) { return attacked->forward(images); };
  subject.judge = [judge](const Var& images) { return judge->forward(images); };
  subject.training = attacked->training() || judge->training();
  subject.classes = model.net->config().classes;
  // The merged model rounds its weights once more: some units of bf16 (2^-8) or tf32 (2^-11) over the depth.
  constexpr double kBF16 = 0x1p-5, kTF32 = 0x1p-8;
  if (model.net->precision() == Precision::kBF16) subject.rounding = kBF16;
  if (model.net->precision() == Precision::kTF32) subject.rounding = kTF32;
  return subject;
}

double evaluation_cost(const Config& config, const RunData& data) {
  double passes = static_cast<double>(data.test->size()) * attack_passes(attack_config(config));
  const double attacked = config.flag("eval.domains_attack") ? attack_passes(attack_config(config)) : 0;
  for (const ShiftedData& s : data.shifted)
    passes += static_cast<double>(s.store->size()) * (1 + (s.other_domain ? attacked : 0));
  return passes + (data.train_sample == nullptr ? 0 : static_cast<double>(data.train_sample->size()));
}

Evaluator::Evaluator(const Config& config, RunDirectory& directory, const RunModel& model, const RunData& data,
                     FeatureCache* cache, Progress* progress)
    : config_(config), directory_(directory), model_(model), data_(data), cache_(cache), progress_(progress) {}

Json& Evaluator::part(int64_t step, const std::string& name) {
  const std::string hash = config_.hash();
  if (partial_.is_null() && std::filesystem::exists(directory_.file(kPartial))) {
    try {
      partial_ = read_json(directory_.file(kPartial));
    } catch (const Error&) {  // it only saves time
    }
  }
  if (!partial_.is_object() || partial_.value("step", int64_t{-1}) != step ||
      partial_.value("config_sha256", "") != hash || partial_.value("base_sha256", "") != model_.base_hash)
    partial_ = {{"step", step}, {"config_sha256", hash}, {"base_sha256", model_.base_hash}, {"parts", Json::object()}};
  Json& parts = partial_["parts"];
  if (!parts.contains(name)) parts[name] = Json::array();
  return parts[name];
}

void Evaluator::save(bool at_once) {
  if (!at_once && now() - saved_at_ < kSaveSeconds) return;
  directory_.write(kPartial, partial_.dump() + "\n");
  saved_at_ = now();
}

void Evaluator::stop() {
  if (interrupted()) save(true);
  stop_if_interrupted("evaluate");
}

void Evaluator::keep(const attacks::RobustResult& result) const {
  if (result.kept_clean.empty()) return;
  const auto n = static_cast<int64_t>(result.kept_clean.size());
  Shape shape = result.kept_clean[0].shape();
  shape.insert(shape.begin(), n);
  Tensor clean = Tensor::empty(shape), adversarial = Tensor::empty(shape);
  for (int64_t i = 0; i < n; ++i) {
    Shape one = shape;
    one[0] = 1;
    clean.slice(0, i, 1).copy_from(result.kept_clean[static_cast<size_t>(i)].reshape(one));
    adversarial.slice(0, i, 1).copy_from(result.kept_adversarial[static_cast<size_t>(i)].reshape(one));
  }
  write_safetensors(directory_.file("samples/images.safetensors"),
                    {{"clean", clean},
                     {"adversarial", adversarial},
                     {"label", Tensor::from(result.kept_labels, {n})},
                     {"clean_prediction", Tensor::from(result.kept_clean_prediction, {n})},
                     {"adversarial_prediction", Tensor::from(result.kept_adversarial_prediction, {n})}});
}

Evaluator::Robust Evaluator::robust(int64_t step, const std::string& name, const StorePtr& store, bool keep_images) {
  const attacks::AttackConfig attack = attack_config(config_);
  const nn::ModelConfig& shape = model_.net->config();
  const attacks::Batches source = batches_of(store, shape.channels, shape.image_size);
  const double units = attack_passes(attack);
  const int64_t n = store->size();
  int64_t done = 0;
  Json& batches = part(step, name);
  for (const Json& b : batches) done += b.at("n").get<int64_t>();
  if (progress_ != nullptr) progress_->skip(static_cast<double>(done) * units);
  while (done < n) {
    stop();
    attacks::EvaluateOptions options;
    options.n = std::min(config_.integer("eval.batch"), n - done);
    options.batch = options.n;
    options.seed = static_cast<uint64_t>(config_.integer("seed"));
    options.step = static_cast<uint64_t>(step);
    if (done == 0 && keep_images) options.keep_images = std::min(config_.integer("eval.keep_images"), options.n);
    const auto from_done = [&](int64_t begin, int64_t count) { return source(done + begin, count); };
    const attacks::RobustResult result = evaluate_robust(subject_, from_done, attack, options);
    keep(result);
    batches.push_back(to_json(result));
    done += options.n;
    save(done == n);
    if (progress_ != nullptr) progress_->advance(static_cast<double>(options.n) * units);
  }
  Robust all;
  for (const Json& b : batches) {
    all.clean_ok += b["clean"].get<std::string>();
    all.last_ok += b["last"].get<std::string>();
    all.best_ok += b["best"].get<std::string>();
    all.tally.add(tally_from_json(b["tally"]));
  }
  return all;
}

Json Evaluator::clean(int64_t step, const std::string& name, const StorePtr& store) {
  const nn::ModelConfig& shape = model_.net->config();
  attacks::Batches source = batches_of(store, shape.channels, shape.image_size);
  attacks::Subject subject = subject_;
  if (cache_ != nullptr) {
    source = cache_->batches(store);
    subject.attacked = [net = model_.net](const Var& features) { return net->classify(features); };
  }
  const int64_t n = store->size();
  Json& batches = part(step, name);
  int64_t done = 0;
  for (const Json& b : batches) done += b.at("n").get<int64_t>();
  if (progress_ != nullptr) progress_->skip(static_cast<double>(done));
  while (done < n) {
    stop();
    attacks::EvaluateOptions options;
    options.batch = config_.integer("eval.batch");
    options.n = std::min(kCleanBatches * options.batch, n - done);
    const auto from_done = [&](int64_t begin, int64_t count) { return source(done + begin, count); };
    const attacks::CleanResult r = evaluate_clean(subject, from_done, options);
    batches.push_back({{"n", r.n}, {"clean", bits(r.correct)}});
    done += options.n;
    save(done == n);
    if (progress_ != nullptr) progress_->advance(static_cast<double>(options.n));
  }
  std::string verdicts;
  for (const Json& b : batches) verdicts += b.at("clean").get<std::string>();
  return {{"n", n}, {"correct", ones(verdicts)}, {"clean", verdicts}};
}

Json Evaluator::shifted(int64_t step, const ShiftedData& data, Json& samples, Json& checks) {
  const Json counted = clean(step, "shift:" + data.name, data.store);
  Json s = {{"domain", data.name}, {"n", counted["n"]}, {"correct", counted["correct"]}};
  Json verdicts = {{"domain", data.name}, {"n", counted["n"]}, {"clean", counted["clean"]}};
  s["other_domain"] = data.other_domain;
  if (data.other_domain && config_.flag("eval.domains_attack")) {
    const Robust attacked = robust(step, "attack:" + data.name, data.store, false);
    s["robust_last_correct"] = ones(attacked.last_ok);
    s["robust_best_correct"] = ones(attacked.best_ok);
    verdicts["last"] = attacked.last_ok;
    verdicts["best"] = attacked.best_ok;
    for (const auto& c : checks_of(attacked.tally, attack_config(config_)))
      checks.push_back({{"name", data.name + ": " + c.name}, {"value", c.value}, {"pass", c.pass}});
  }
  samples.push_back(std::move(verdicts));
  return s;
}

void Evaluator::append_metrics(int64_t step, const Json& point) const {
  const auto line = [&](const std::string& split, const char* metric, const Json& value) {
    directory_.append_metric({{"step", step}, {"split", split}, {"metric", metric}, {"value", value}});
  };
  const auto accuracy = [&](const std::string& split, const std::string& metric, int64_t correct, int64_t n) {
    const attacks::Interval i = attacks::binomial_interval(correct, n);
    directory_.append_metric({{"step", step},
                              {"split", split},
                              {"metric", metric},
                              {"value", n > 0 ? static_cast<double>(correct) / static_cast<double>(n) : 0.0},
                              {"low", i.low},
                              {"high", i.high},
                              {"n", n}});
  };
  const auto n = point["n"].get<int64_t>();
  for (const char* field : {"clean", "robust_last", "robust_best"})
    accuracy("test", std::string(field) + "_accuracy", point[std::string(field) + "_correct"].get<int64_t>(), n);
  for (const char* field : {"mean_loss_clean", "mean_loss_adv", "max_perturbation", "zero_gradient_share"})
    line("test", field, point[field]);
  for (const Json& s : point["shifted"]) {
    const std::string split = (s["other_domain"].get<bool>() ? "domain:" : "shift:") + s["domain"].get<std::string>();
    accuracy(split, "clean_accuracy", s["correct"].get<int64_t>(), s["n"].get<int64_t>());
    for (const char* field : {"robust_last", "robust_best"})
      if (s.contains(std::string(field) + "_correct"))
        accuracy(split, std::string(field) + "_accuracy", s[std::string(field) + "_correct"].get<int64_t>(),
                 s["n"].get<int64_t>());
  }
  if (point.contains("out_of_domain")) {
    const Json& pooled = point["out_of_domain"];
    accuracy("out_of_domain", "clean_accuracy", pooled["correct"].get<int64_t>(), pooled["n"].get<int64_t>());
    line("out_of_domain", "mean_clean_accuracy", pooled["mean_accuracy"]);
    for (const char* field : {"robust_last", "robust_best"})
      if (pooled.contains(std::string(field) + "_correct"))
        accuracy("out_of_domain", std::string(field) + "_accuracy",
                 pooled[std::string(field) + "_correct"].get<int64_t>(), pooled["n"].get<int64_t>());
  }
  if (point.contains("train"))
    accuracy("train", "clean_accuracy", point["train"]["correct"].get<int64_t>(), point["train"]["n"].get<int64_t>());
}

Json Evaluator::evaluate(int64_t step, bool keep_images) {
  make_folder(directory_.file("samples"));
  subject_ = subject_of(model_);
  const Robust test = robust(step, "test", data_.test, keep_images);
  Json point = {{"step", step},
                {"n", data_.test->size()},
                {"clean_correct", ones(test.clean_ok)},
                {"robust_last_correct", ones(test.last_ok)},
                {"robust_best_correct", ones(test.best_ok)},
                {"mean_loss_clean", test.tally.mean_loss_clean()},
                {"mean_loss_adv", test.tally.mean_loss_adv()},
                {"max_perturbation", test.tally.max_perturbation},
                {"zero_gradient_share", test.tally.zero_gradient_share()},
                {"loss_increase_share", test.tally.loss_increase_share()},
                {"shifted", Json::array()}};
  Json checks = Json::array(), domains = Json::array();
  for (const auto& c : checks_of(test.tally, attack_config(config_)))
    checks.push_back({{"name", c.name}, {"value", c.value}, {"pass", c.pass}});
  for (const ShiftedData& data : data_.shifted) point["shifted"].push_back(shifted(step, data, domains, checks));
  const Json pooled = out_of_domain(point["shifted"]);
  if (!pooled.is_null()) point["out_of_domain"] = pooled;
  if (data_.train_sample != nullptr) {
    const Json train = clean(step, "train", data_.train_sample);
    point["train"] = {{"n", train["n"]}, {"correct", train["correct"]}};
  }
  point["checks"] = checks;

  Json samples = {{"step", step},
                  {"n", data_.test->size()},
                  {"clean", test.clean_ok},
                  {"last", test.last_ok},
                  {"best", test.best_ok}};
  if (!domains.empty()) samples["shifted"] = domains;
  directory_.write("samples/" + checkpoint_name(step) + ".json", samples.dump() + "\n");
  append_metrics(step, point);
  subject_ = {};
  return point;
}

}  // namespace taut::study
