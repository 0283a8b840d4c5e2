#include "study/command/plan_cost.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "finetune/strategy.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/command/bench_model.h"
#include "study/run/environment.h"
#include "study/run/model.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

// The settings that decide how many images a run has, so that runs of one data set open it once.
std::string data_settings(const Config& config) {
  std::string all;
  for (const Key& key : all_keys())
    if (key.name.starts_with("data.") || key.name.starts_with("eval.") || key.name.starts_with("model."))
      if (key.name != "model.strategy") all += config.value_text(key.name) + "\n";
  return all;
}

struct Sizes {
  std::optional<DataSizes> sizes;
  std::string why_not;
};

Sizes find_sizes(const Config& config) {
  try {
    return {
        sizes_of(open_run_data(config, preprocess_of(config, *net_config(config, config.integer("model.classes"))))),
        ""};
  } catch (const Error& error) {
    if (error.code() == Exit::kMissing)
      if (const auto known = known_sizes(config)) return {known, ""};
    return {std::nullopt, error.what()};
  }
}

// What is timed together: runs of one model, size of images and precision.
using ModelKey = std::tuple<std::string, std::string, std::string, std::string>;
ModelKey model_key(const Config& config) {
  return {config.text("model.name"), config.text("model.flavour"), config.value_text("model.image_size"),
          config.text("model.precision")};
}

struct Speed {
  double forward = 0, attack_step = 0;               // seconds an image
  std::map<finetune::Reach, double> update;          // seconds an image
  std::map<finetune::Reach, std::string> stands_in;  // the strategy that was timed
};

constexpr double kTimedFlops = 7e10;  // of a forward pass: one image of ViT-B/16, many of a small net

double seconds_an_image(Config config, const std::string& pass, const std::string& strategy, int64_t batch,
                        Device device) {
  config.set("model.strategy", strategy, Source::kCommandLine);
  const std::vector<Row> rows = bench_model(config, {pass}, batch, num_threads(), device);
  return 1 / rows.front().at("images_per_second").get<double>();
}

Speed measure_model(const Plan& plan, const ModelKey& key, double flops, Device device, std::string& said) {
  Speed speed;
  const auto is_its = [&](const PlanRow& row) { return model_key(row.config) == key; };
  const PlanRow& first = *std::ranges::find_if(plan.rows, is_its);
  const int64_t batch =
      std::clamp<int64_t>(static_cast<int64_t>(kTimedFlops / flops), 1, first.config.integer("train.batch"));
  const Config& config = first.config;
  speed.forward = seconds_an_image(config, "forward", "full", batch, device);
  speed.attack_step = seconds_an_image(config, "pgd", "full", batch, device);
  said = fmt::format("{}, batches of {}: images a second: forward {:.3g}, attack step {:.3g}", std::get<0>(key), batch,
                     1 / speed.forward, 1 / speed.attack_step);
  for (const PlanRow& row : plan.rows) {
    const finetune::Reach reach = finetune::strategy(row.strategy).reach();
    if (!is_its(row) || speed.update.contains(reach)) continue;
    // The features of a frozen backbone are computed once; the head itself costs next to nothing.
    speed.update[reach] = reach == finetune::Reach::kHead
                              ? speed.forward
                              : seconds_an_image(row.config, "train", row.strategy, batch, device);
    if (reach != finetune::Reach::kHead)
      said += fmt::format(", update {:.3g} ({}{})", 1 / speed.update[reach], row.strategy,
                          reach == finetune::Reach::kFrozenBackbone ? ", for all that leave the backbone frozen" : "");
  }
  return speed;
}

double seconds_of(const RunCost& cost, const std::string& strategy, const Speed& speed) {
  const finetune::Strategy& s = finetune::strategy(strategy);
  return cost.training / training_passes(s) * speed.update.at(s.reach()) + cost.attacking / 2 * speed.attack_step +
         cost.judging * speed.forward;
}

double sum_of(const std::vector<RowCost>& rows, double (*part)(const RowCost&)) {
  double sum = 0;
  for (const RowCost& row : rows)
    if (row.counted) sum += part(row);
  return sum;
}

// Peaks of the data sheets, dense. The fractions are of whole runs, not of a single product, and they are assumptions:
// in bf16 45 to 50 % is good for a transformer of width 768 and 197 tokens; in f32 without tensor cores products come
// closer to their peak, and what is bound by memory weighs less.
const std::vector<Gpu>& gpus() {
  static const std::vector<Gpu> all = {
      {"a100", "NVIDIA A100 SXM", {{"bf16", 312e12, 0.45}, {"f32", 19.5e12, 0.6}}},
      {"h100", "NVIDIA H100 SXM", {{"bf16", 989.4e12, 0.45}, {"f32", 66.9e12, 0.6}}},
      {"h200", "NVIDIA H200 SXM", {{"bf16", 989.4e12, 0.45}, {"f32", 66.9e12, 0.6}}},
  };
  return all;
}

}  // namespace

double PlanCost::images() const {
  return sum_of(rows, [](const RowCost& row) { return row.counted->images; });
}
double PlanCost::passes() const {
  return sum_of(rows, [](const RowCost& row) { return row.counted->passes(); });
}
double PlanCost::flops() const {
  return sum_of(rows, [](const RowCost& row) { return row.flops; });
}
std::optional<double> PlanCost::seconds() const {
  double sum = 0;
  for (const RowCost& row : rows) {
    if (row.counted && !row.seconds) return std::nullopt;
    if (row.counted) sum += *row.seconds;
  }
  return sum;
}

PlanCost count_plan(const Plan& plan) {
  PlanCost cost;
  std::map<std::string, Sizes> found;
  std::map<ModelKey, double> flops;
  for (const PlanRow& row : plan.rows) {
    const auto [sizes, is_new] = found.try_emplace(data_settings(row.config));
    if (is_new) sizes->second = find_sizes(row.config);
    if (is_new && !sizes->second.sizes) cost.unknown.push_back(row.dataset + ": " + sizes->second.why_not);
    RowCost& added = cost.rows.emplace_back();
    if (!sizes->second.sizes) continue;
    const auto [pass, new_model] = flops.try_emplace(model_key(row.config));
    if (new_model) pass->second = net_config(row.config, row.config.integer("model.classes"))->forward_flops();
    added.counted = cost_of(row, *sizes->second.sizes);
    added.flops = added.counted->passes() * pass->second;
  }
  return cost;
}

void measure_plan(const Plan& plan, Device device, PlanCost& cost) {
  refuse_debug_build();
  std::map<ModelKey, Speed> speeds;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    RowCost& its = cost.rows[i];
    if (!its.counted) continue;
    const auto [speed, is_new] = speeds.try_emplace(model_key(row.config));
    if (is_new)
      speed->second =
          measure_model(plan, speed->first, its.flops / its.counted->passes(), device, cost.measured.emplace_back());
    its.seconds = seconds_of(*its.counted, row.strategy, speed->second);
  }
}

std::vector<std::string> gpu_names() {
  std::vector<std::string> names;
  for (const Gpu& gpu : gpus()) names.push_back(gpu.name);
  return names;
}

Gpu gpu_by_name(const std::string& name, double fraction) {
  const auto it = std::ranges::find(gpus(), name, &Gpu::name);
  TAUT_CHECK(it != gpus().end(), "[--gpu] there is no '{}'; hint: {}, or none", name, did_you_mean(name, gpu_names()));
  Gpu gpu = *it;
  TAUT_CHECK(fraction >= 0 && fraction <= 1, "[--gpu-fraction] expected a fraction of the peak, 0 to 1, got {}",
             fraction);
  for (Gpu::Mode& mode : gpu.modes)
    if (fraction > 0) mode.fraction = fraction;
  return gpu;
}

double gpu_seconds(const Gpu::Mode& mode, double flops) { return flops / (mode.peak_flops * mode.fraction); }

}  // namespace taut::study
