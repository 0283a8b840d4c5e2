// Drill 18: a NaN or an infinity in weights, pixels, activations or gradients ends the step it comes into with 70 and
// the name of the first tensor that has one.
#include <cmath>
#include <limits>

#include "finetune/nonfinite.h"
#include "finetune/train.h"
#include "nn/models.h"
#include "nn/weights.h"
#include "tensor/safetensors.h"
#include "tests/drills/faults.h"
#include "tests/small_vit.h"

namespace taut::study {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();

finetune::TrainOptions no_clipping() {
  finetune::TrainOptions options;
  options.clip = 0;
  return options;
}

struct Step {
  explicit Step(const std::string& strategy = "full")
      : vit(testing::random_vit(testing::small_config(), 3)),
        images(testing::random_images(vit->config(), 4, 5)),
        labels(testing::random_labels(4, 5, 6)) {
    finetune::strategy(strategy).apply(*vit, {}, 1);
    trainer = std::make_unique<finetune::Trainer>(vit, no_clipping());
    trainer->step(images, labels);  // a good one
  }
  void set(const std::string& path, int64_t at, float value) const {
    Tensor t = vit->parameter(path).value();
    t.span<float>()[static_cast<size_t>(at)] = value;
  }
  // The bytes of every parameter.
  std::map<std::string, Tensor> state() const {
    std::map<std::string, Tensor> all;
    for (const auto& [path, tensor] : nn::state_of(*vit)) all[path] = tensor.clone();
    return all;
  }
  Error refused() const {
    return error_of([&] { trainer->step(images, labels); });
  }

  std::shared_ptr<nn::Vit> vit;
  Tensor images, labels;
  std::unique_ptr<finetune::Trainer> trainer;
};

bool names(const Error& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

TEST_CASE("drill 18: a weight, whatever the strategy") {
  for (const char* strategy : {"full", "lora", "bitfit", "lp"}) {
    CAPTURE(strategy);
    for (const float bad : {kNan, kInf, -kInf}) {
      const Step s(strategy);
      s.set("blocks.1.mlp.fc1.weight", 7, bad);
      const Error error = s.refused();
      CAPTURE(std::string(error.what()));
      CHECK(error.code() == Exit::kNumeric);
      CHECK(names(error, "update 2"));
      CHECK(names(error, "'blocks.1.mlp.fc1.weight' (96, 64) has 1 non-finite elements of 6144"));
    }
  }
}

TEST_CASE("drill 18: a pixel") {
  const Step s;
  Tensor images = s.images;
  images.span<float>()[100] = kNan;
  const Error error = s.refused();
  CAPTURE(std::string(error.what()));
  CHECK(error.code() == Exit::kNumeric);
  // As the first layer that trains gets them: cut into patches.
  CHECK(names(error, "the model's input (4, 4, 192) has 1 non-finite elements of 3072"));
}

TEST_CASE("drill 18: an activation, named by the op and the parameters that it came out of") {
  const Step s;
  for (int64_t i = 0; i < 64; ++i) s.set("blocks.0.attn.proj.weight", i, i % 2 == 0 ? 3e38F : 2.9e38F);
  const auto before = s.state();
  const Error error = s.refused();
  CAPTURE(std::string(error.what()));
  CHECK(error.code() == Exit::kNumeric);
  CHECK(names(error, "the output of op "));
  CHECK(names(error, "with 'blocks.0.attn.proj.weight'"));
  for (const auto& [path, tensor] : s.state()) CHECK(same_bytes(tensor, before.at(path)));  // nothing was updated
}

TEST_CASE("drill 18: a gradient, although loss and activations are finite") {
  const Step s;
  // Pixels so large that the patches' gradient overflows, before weights so small that they do not show in the loss.
  Tensor weight = s.vit->parameter("patch_embed.proj.weight").value(), images = s.images;
  for (float& w : weight.span<float>()) w = 0;
  for (float& x : images.span<float>()) x = 1e38F;
  Tensor head = s.vit->parameter("head.weight").value();
  for (float& w : head.span<float>()) w *= 1000;
  const auto before = s.state();
  const Error error = s.refused();
  CAPTURE(std::string(error.what()));
  CHECK(error.code() == Exit::kNumeric);
  CHECK(names(error, "the gradient of 'patch_embed.proj.weight' has "));
  for (const auto& [path, tensor] : s.state()) CHECK(same_bytes(tensor, before.at(path)));
}

TEST_CASE("drill 18: label smoothing that is no number is refused before anything is computed") {
  auto vit = testing::random_vit(testing::small_config(), 3);
  vit->set_requires_grad(true);
  for (const double bad : {static_cast<double>(kNan), static_cast<double>(kInf), -0.1}) {
    finetune::TrainOptions options;
    options.label_smoothing = bad;
    finetune::Trainer trainer(vit, options);
    const Error error =
        error_of([&] { trainer.step(testing::random_images(vit->config(), 2, 5), testing::random_labels(2, 5, 6)); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(names(error, "label smoothing"));
  }
  const TinyRun tiny;
  for (const char* bad : {"nan", "inf", "-inf", "1e999"}) {
    const Outcome o = tiny.train("run", {}, {std::string("train.label_smoothing=") + bad});
    CAPTURE(o.err);
    CHECK(o.code == 2);
    CHECK(o.err.find("train.label_smoothing") != std::string::npos);
    CHECK(!std::filesystem::exists(tiny.folder / "run"));
  }
}

TEST_CASE("drill 18: numbers that leave the finite ones in a run: 70, the tensor, the last good checkpoint") {
  const TinyRun tiny;
  // At once too large a rate: an update makes parameters that the next forward cannot bear.
  const Outcome o = tiny.train(
      "run", {}, {"train.lr=1e30", "train.schedule=constant", "train.warmup=5", "train.clip=0", "model.strategy=full"});
  CAPTURE(o.err);
  CHECK(o.code == 70);
  CHECK((o.err.find("non-finite elements of") != std::string::npos));
  CHECK(o.err.find("hint: lower train.lr") != std::string::npos);
  CHECK(!std::filesystem::exists(tiny.folder / "run/result.json"));
  newest_step(tiny.folder / "run");
}

TEST_CASE("drill 18: a file of weights with a NaN is bad data, by tensor, before anything runs") {
  const TinyRun tiny;
  nn::Vit vit(nn::vit_config("vit_demo"));
  nn::init_model(vit, 5);
  Tensor bad = vit.parameter("blocks.1.attn.qkv.weight").value();
  bad.span<float>()[3] = kNan;
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const nn::NameEntry& e : nn::name_map(vit.config(), nn::NameStyle::kTimm))
    tensors.emplace_back(e.external, nn::file_of_rows(e, vit.parameter(e.path).value()));
  const std::string weights = tiny.folder / "nan.safetensors";
  write_safetensors(weights, tensors);
  const std::string model = "model.weights=" + weights;
  const std::vector<std::vector<std::string>> commands = {
      tiny.arguments("run", {model}),
      {"eval", "model.name=vit_demo", model, "data.path=procedural:easy", "data.limit=8"},
      {"attack", "pgd", "model.name=vit_demo", model, "data.path=procedural:easy", "data.limit=8"}};
  for (const auto& command : commands) {
    CAPTURE(command[0]);
    const Outcome o = taut(command);
    CAPTURE(o.err);
    CHECK(o.code == 65);
    CHECK(o.err.find("nan.safetensors] 'blocks.1.attn.qkv.weight'") != std::string::npos);
    CHECK(o.err.find("has 1 non-finite elements") != std::string::npos);
  }
  CHECK(newest_step(tiny.folder / "run") == -1);
}

}  // namespace
}  // namespace taut::study
