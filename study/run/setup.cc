#include "study/run/setup.h"

#include "kernels/error.h"
#include "study/run/interrupt.h"
#include "study/run/pretrain.h"
#include "study/schedule.h"

namespace taut::study {

Order order_of(const Config& config, int64_t n) {
  return Order(config.flag("train.replacement") ? Order::Kind::kDraws : Order::Kind::kEpochs, n,
               config.integer("train.batch"), static_cast<uint64_t>(config.integer("seed")));
}

RunSetup set_up(const PlanRow& row, const std::string& folder, const RunOptions& options,
                const std::function<void(const std::string&)>& say) {
  const Config& config = row.config;
  RunSetup setup;
  const std::string cache = options.cache.empty() ? folder + "/pretrained" : options.cache;
  const std::string weights = weights_file(config, cache, options.progress);
  const std::shared_ptr<nn::ModelConfig> shape = net_config(config, config.integer("model.classes"));
  const DecodedCache decoded{
      .folder = cache_folder(config, options.decoded.empty() ? folder + "/decoded" : options.decoded),
      .say = say,
      .follow = [&](int64_t done, int64_t all) {
        if (options.progress != nullptr && done > 0)
          options.progress->set_label(fmt::format("{} decoded {} of {} images", row.run_id, done, all));
        stop_if_interrupted("decode");
      }};
  setup.data = open_run_data(config, preprocess_of(config, *shape), decoded.folder.empty() ? nullptr : &decoded);
  const RunData& data = setup.data;
  const int64_t classes = config.integer("model.classes") > 0 ? config.integer("model.classes") : data.classes;
  if (data.classes > classes)
    fail(Exit::kBadData, "[model.classes] expected at least the {} classes of the data, got {}", data.classes, classes);
  setup.model = training_model(config, weights, classes);
  setup.model.net->to(options.device);
  for (const StorePtr& store : {data.train, data.validation, data.test})
    if (store != nullptr) check_labels(store->dataset(), classes);
  for (const ShiftedData& s : data.shifted) check_labels(s.store->dataset(), classes);
  setup.total = total_steps(config, data.train->size());
  setup.points = evaluation_points(config.text("eval.schedule"), config.integers("eval.points"), setup.total);
  return setup;
}

int64_t total_steps(const Config& config, int64_t n) {
  if (config.integer("train.steps") > 0) return config.integer("train.steps");
  return order_of(config, n).steps_per_epoch() * config.integer("train.epochs");
}

}  // namespace taut::study
