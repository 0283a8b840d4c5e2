// Cached features and pre-trained weights: what is kept has the bytes of what would be computed anew.
#include "study/run/feature_cache.h"

#include "autograd/ops.h"
#include "finetune/train.h"
#include "study/run/interrupt.h"
#include "study/run/model.h"
#include "study/run/pretrain.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

struct Probe {
  Config config = tiny_run({"model.strategy=lp"}).config;
  RunData data = open_run_data(config, preprocess_of(config, *net_config(config, 0)));
  RunModel model = training_model(config, "", data.classes);
  finetune::Trainer trainer{model.net,
                            {.lr = 0.01,
                             .weight_decay = 0.01,
                             .clip = 1,
                             .label_smoothing = 0,
                             .mode = finetune::Mode::kFixed,
                             .schedule = {nn::ScheduleKind::kConstant, 0, 10}}};
};

TEST_CASE("a linear probe on cached features trains and judges to the same bytes as one on images") {
  Probe direct, cached;
  FeatureCache cache(cached.model.net);
  for (const std::vector<int64_t>& indices : {std::vector<int64_t>{3, 1, 4}, {1, 5, 1, 9}, {3, 4}}) {
    Batch batch =
        Loader(direct.data.train, Order(Order::Kind::kSequential, direct.data.train->size(), 4), {}).load(indices);
    const finetune::StepResult a = direct.trainer.step(images_of(batch), labels_of(batch));
    const finetune::StepResult b =
        cached.trainer.step_on_features(cache.features(cached.data.train, indices), labels_of(batch));
    CHECK(a.loss == b.loss);
    CHECK(a.gradient_norm == b.gradient_norm);
  }
  CHECK(same_bytes(direct.model.net->head->weight.value(), cached.model.net->head->weight.value()));
  const NoGrad no_grad;
  const attacks::Batch images = batches_of(direct.data.test, 1, 24)(2, 5),
                       features = cache.batches(cached.data.test)(2, 5);
  CHECK(same_bytes(direct.model.net->forward(Var(images.images)).value(),
                   cached.model.net->classify(Var(features.images)).value()));
  CHECK(same_bytes(images.labels, features.labels));
}

TEST_CASE("features are refused where more than the head trains") {
  Probe probe;
  const RunModel full = training_model(tiny_run().config, "", probe.data.classes);
  finetune::Trainer trainer(full.net, {});
  const Error error = error_of([&] {
    trainer.step_on_features(Tensor::zeros({2, 64}), Tensor::zeros({2}, DType::kI64));
  });
  CHECK(error.code() == Exit::kUsage);
}

TEST_CASE("pre-trained weights are a pure function of their settings, through an interruption too") {
  const TempFolder folder;
  const auto settings = [](const char* seed) {
    return tiny_run({"model.weights=procedural", "pretrain.steps=3", "pretrain.batch=4",
                     std::string("pretrain.seed=") + seed})
        .config;
  };
  const std::string calm = pretrained_weights(settings("0"), folder / "calm", nullptr);
  const std::string bytes = read_text_file(calm);
  set_interrupted(true);
  const Error error = error_of([&] { pretrained_weights(settings("0"), folder / "storm", nullptr); });
  set_interrupted(false);
  CHECK(error.code() == Exit::kInterrupted);
  const std::string storm = pretrained_weights(settings("0"), folder / "storm", nullptr);
  CHECK(read_text_file(storm) == bytes);
  CHECK(strays(folder / "storm").empty());
  CHECK(std::filesystem::path(pretrained_weights(settings("1"), folder / "calm", nullptr)) != calm);
  const RunModel model = training_model(settings("0"), calm, 5);
  CHECK(model.weights_sha256.size() == 64);
  CHECK(error_of([&] {
          Config wrong = settings("0");
          wrong.set("model.name", "vit_tiny_patch16_224", Source::kCommandLine);
          pretrained_weights(wrong, folder / "wrong", nullptr);
        }).code() == Exit::kUsage);
}

}  // namespace
}  // namespace taut::study
