#include "study/run/probe.h"

#include <filesystem>

#include "finetune/train.h"
#include "kernels/error.h"
#include "study/run/feature_cache.h"
#include "study/run/interrupt.h"
#include "study/run/model.h"
#include "study/run/pretrain.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace {

constexpr int64_t kUpdates = 400, kBatch = 32;
constexpr double kRate = 0.1;

int64_t probe(const Config& config, const std::string& weights, const RunData& data) {
  Config probing = config;
  probing.set("model.strategy", "lp", Source::kCommandLine);
  const RunModel model = training_model(probing, weights, data.classes);
  finetune::Trainer trainer(model.net, {.lr = kRate,
                                        .weight_decay = 0,
                                        .clip = 0,
                                        .label_smoothing = 0,
                                        .mode = finetune::Mode::kFixed,
                                        .schedule = {nn::ScheduleKind::kLinear, 0, kUpdates}});
  FeatureCache cache(model.net);
  const Order order(Order::Kind::kDraws, data.train->size(), kBatch, static_cast<uint64_t>(config.integer("seed")));
  for (int64_t step = 0; step < kUpdates; ++step) {
    stop_if_interrupted("probe");
    const std::vector<int64_t> indices = order.indices(step);
    std::vector<int64_t> labels;
    for (const int64_t i : indices) labels.push_back(data.train->dataset().label(i));
    trainer.step_on_features(cache.features(data.train, indices), Tensor::from(labels, {kBatch}));
  }
  attacks::Subject subject;
  subject.judge = [&](const Var& features) { return model.net->classify(features); };
  subject.attacked = subject.judge;
  subject.classes = data.classes;
  attacks::EvaluateOptions options;
  options.n = data.test->size();
  return evaluate_clean(subject, cache.batches(data.test), options).top1_correct;
}

}  // namespace

void measure_probes(const Plan& plan, const std::string& folder, Progress* progress) {
  const std::string file = folder + "/probes.json";
  if (std::filesystem::exists(file)) return;
  Json probes = Json::array();
  std::string before;
  for (const PlanRow& row : plan.rows) {
    if (row.config.text("model.weights") != "procedural" || row.dataset == before) continue;
    before = row.dataset;
    try {
      const RunData data = open_run_data(
          row.config, preprocess_of(row.config, *net_config(row.config, row.config.integer("model.classes"))));
      const std::string weights = weights_file(row.config, folder + "/pretrained", progress);
      const int64_t pretrained = probe(row.config, weights, data), random = probe(row.config, "", data);
      probes.push_back({{"dataset", row.dataset},
                        {"n", data.test->size()},
                        {"pretrained_correct", pretrained},
                        {"random_correct", random}});
      progress->say(fmt::format("{}: linear probe {} of {} from the pre-trained, {} from a random backbone",
                                row.dataset, pretrained, data.test->size(), random));
    } catch (const Error& error) {
      if (error.code() == Exit::kInterrupted) throw;
      progress->say(fmt::format("{}: no linear probe: {}", row.dataset, error.what()));
    }
  }
  if (!probes.empty()) write_file_atomically(file, probes.dump(2) + "\n");
}

}  // namespace taut::study
