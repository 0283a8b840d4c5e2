#include "study/run/evaluate.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "finetune/nonfinite.h"
#include "kernels/error.h"
#include "study/run/checkpoint.h"
#include "study/run/cost.h"
#include "study/run/interrupt.h"
#include "study/run/point.h"
#include "study/text_file.h"
#include "study/untrusted.h"
#include "tensor/safetensors.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace {

constexpr const char* kPartial = "evaluation.json";  // the SHA-256 of what follows on a line of its own, then JSON
constexpr double kSaveSeconds = 0.5;  // evaluation.json is no result, so that the clock may decide when it is written
constexpr int64_t kCleanBatches = 16;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

attacks::Logits logits_of(const std::shared_ptr<nn::Model>& net) {
  const auto of_patches = [net](const Var& patches, const Shape& images) { return net->forward_of(patches, images); };
  return {[net](const Var& images) { return net->forward(images); },
          {net->input(), of_patches},
          [net] { return net->places(); }};
}

attacks::Subject subject_of(const RunModel& model) {
  const auto attacked = finetune::evaluation_model(*model.net, *model.strategy, model.options);
  const auto judge = finetune::rebuild(*model.net, *model.strategy, model.options);
  attacks::Subject subject;
  subject.attacked = logits_of(attacked);
  subject.judge = [judge](const Var& images) { return judge->forward(images); };
  subject.training = attacked->training() || judge->training();
  subject.classes = model.net->config().classes;
  subject.device = model.net->device();
  // The merged model rounds its weights once more: some units of bf16 (2^-8) or tf32 (2^-11) over the depth.
  constexpr double kBF16 = 0x1p-5, kTF32 = 0x1p-8;
  if (model.net->precision() == Precision::kBF16) subject.rounding = kBF16;
  if (model.net->precision() == Precision::kTF32) subject.rounding = kTF32;
  return subject;
}

double evaluation_cost(const Config& config, const RunData& data) { return evaluation_passes(config, sizes_of(data)); }

Evaluator::Evaluator(const Config& config, RunDirectory& directory, const RunModel& model, const RunData& data,
                     FeatureCache* cache, Progress* progress, Share share)
    : config_(config),
      directory_(directory),
      model_(model),
      data_(data),
      cache_(cache),
      progress_(progress),
      share_(share) {}

Json& Evaluator::batches(int64_t step, const std::string& split) {
  const std::string hash = config_.hash();
  if (partial_.is_null() && std::filesystem::exists(directory_.file(kPartial))) {
    try {
      const std::string text = read_text_file(directory_.file(kPartial));
      const size_t body = text.find('\n') + 1;
      if (body > 0 && text.substr(0, body - 1) == sha256_of(text.substr(body)))
        partial_ = parse_json(text.substr(body));
    } catch (const Error&) {  // it only saves time
    }
  }
  if (!partial_.is_object() || partial_.value("step", int64_t{-1}) != step ||
      partial_.value("config_sha256", "") != hash || partial_.value("base_sha256", "") != model_.base_hash ||
      !partial_.contains("verdicts"))
    partial_ = {
        {"step", step}, {"config_sha256", hash}, {"base_sha256", model_.base_hash}, {"verdicts", Json::object()}};
  Json& verdicts = partial_["verdicts"];
  if (!verdicts.contains(split)) verdicts[split] = Json::array();
  return verdicts[split];
}

Evaluator::Range Evaluator::range(int64_t n) const {
  const int64_t batch = config_.integer("eval.batch"), count = (n + batch - 1) / batch;
  const auto edge = [&](int64_t part) { return std::min(n, count * part / share_.of * batch); };
  return {edge(share_.part - 1), edge(share_.part)};
}

void Evaluator::save(bool at_once) {
  if (!at_once && now() - saved_at_ < kSaveSeconds) return;
  const std::string body = partial_.dump() + "\n";
  directory_.write(kPartial, sha256_of(body) + "\n" + body);
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

void Evaluator::robust(int64_t step, const std::string& split, const StorePtr& store, bool keep_images) {
  const attacks::AttackConfig attack = attack_config(config_);
  const nn::ModelConfig& shape = model_.net->config();
  const attacks::Batches source = batches_of(store, shape.channels, shape.image_size);
  const double units = attack_passes(attack);
  const auto [begin, end] = range(store->size());
  Json& measured = batches(step, split);
  int64_t at = begin + images_in(measured);
  if (progress_ != nullptr) progress_->skip(static_cast<double>(at - begin) * units);
  while (at < end) {
    stop();
    attacks::EvaluateOptions options;
    options.n = std::min(config_.integer("eval.batch"), end - at);
    options.batch = options.n;
    options.seed = static_cast<uint64_t>(config_.integer("seed"));
    options.step = static_cast<uint64_t>(step);
    if (at == 0 && keep_images) options.keep_images = std::min(config_.integer("eval.keep_images"), options.n);
    const auto from_here = [&](int64_t first, int64_t count) { return source(at + first, count); };
    const attacks::RobustResult result = evaluate_robust(subject_, from_here, attack, options);
    keep(result);
    measured.push_back(batch_of(result));
    at += options.n;
    save(at == end);
    if (progress_ != nullptr) progress_->advance(static_cast<double>(options.n) * units);
  }
}

void Evaluator::clean(int64_t step, const std::string& split, const StorePtr& store) {
  const nn::ModelConfig& shape = model_.net->config();
  attacks::Batches source = batches_of(store, shape.channels, shape.image_size);
  attacks::Subject subject = subject_;
  if (cache_ != nullptr) {
    source = cache_->batches(store);
    subject.attacked = [net = model_.net](const Var& features) { return net->classify(features); };
  }
  const auto [begin, end] = range(store->size());
  Json& measured = batches(step, split);
  int64_t at = begin + images_in(measured);
  if (progress_ != nullptr) progress_->skip(static_cast<double>(at - begin));
  while (at < end) {
    stop();
    attacks::EvaluateOptions options;
    options.batch = config_.integer("eval.batch");
    options.n = std::min(kCleanBatches * options.batch, end - at);
    const auto from_here = [&](int64_t first, int64_t count) { return source(at + first, count); };
    measured.push_back(batch_of(evaluate_clean(subject, from_here, options)));
    at += options.n;
    save(at == end);
    if (progress_ != nullptr) progress_->advance(static_cast<double>(options.n));
  }
}

Json Evaluator::measure(int64_t step, bool keep_images) {
  try {
    return measure_share(step, keep_images);
  } catch (const Error& error) {
    if (error.code() != Exit::kNumeric) throw;
    fail(Exit::kNumeric, "{} at step {}: {}; hint: lower train.lr", error.what(), step, first_nonfinite());
  }
}

Json Evaluator::measure_share(int64_t step, bool keep_images) {
  make_folder(directory_.file("samples"));
  subject_ = subject_of(model_);
  robust(step, "test", data_.test, keep_images);
  for (const ShiftedData& data : data_.shifted) {
    clean(step, (data.other_domain ? "domain:" : "shift:") + data.name, data.store);
    if (data.other_domain && config_.flag("eval.domains_attack"))
      robust(step, "attack:" + data.name, data.store, false);
  }
  if (data_.train_sample != nullptr) clean(step, "train", data_.train_sample);
  subject_ = {};
  return partial_.at("verdicts");
}

std::string Evaluator::first_nonfinite() const {
  const nn::ModelConfig& shape = model_.net->config();
  const attacks::Batches source = batches_of(data_.test, shape.channels, shape.image_size);
  const int64_t n = data_.test->size(), batch = config_.integer("eval.batch");
  for (int64_t begin = 0; begin < n; begin += batch) {
    const Tensor images = source(begin, std::min(batch, n - begin)).images;
    std::string bad = finetune::first_nonfinite(*model_.net, [&] { return model_.net->forward(Var(images)); });
    if (!bad.empty()) return bad;
  }
  return "the logits of the clean images are finite, those of the attacked ones are not";
}

Json Evaluator::evaluate(int64_t step, bool keep_images) {
  return record(point_of(config_, step, measure(step, keep_images)), directory_);
}

}  // namespace taut::study
