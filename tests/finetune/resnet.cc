// The strategies on convolutional nets: what each trains, which kernels run, merging, deltas with running statistics.
#include <doctest/doctest.h>

#include <filesystem>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/delta.h"
#include "finetune/sites.h"
#include "finetune/train.h"
#include "nn/models.h"
#include "nn/small_nets.h"
#include "tests/small_resnet.h"

namespace taut::finetune {
namespace {

using testing::random_images;
using testing::random_labels;
using testing::random_model;
using testing::small_resnet_config;
using Kind = nn::ResNetConfig::Kind;

// The strategies that have a meaning for nets with batch norm.
constexpr const char* kStrategies[] = {"full", "lp", "lora", "adapter", "ia3", "bitfit", "bn"};

StrategyOptions small_options() {
  StrategyOptions o;
  o.rank = 3;
  o.alpha = 6;
  o.reduction = 4;
  return o;
}

void disturb(nn::Model& model, uint64_t seed) {
  for (nn::NamedParameter& p : model.parameters()) {
    if (!p.var.requires_grad()) continue;
    Tensor noise = Tensor::empty(p.var.shape(), p.var.dtype());
    nn::fill_normal(noise, 0.1, seed, p.path);
    p.var.set_value(ops::add(Var(p.var.value()), Var(noise)).value());
  }
}

std::vector<std::string> trainable_paths(const nn::Model& model) {
  std::vector<std::string> paths;
  for (const nn::NamedParameter& p : model.parameters())
    if (p.var.requires_grad()) paths.push_back(p.path);
  return paths;
}

std::map<std::string, Tensor> copy_of(const std::vector<std::pair<std::string, Tensor>>& state) {
  std::map<std::string, Tensor> copy;
  for (const auto& [n, t] : state) copy[n] = t.clone();
  return copy;
}

bool same_state(const nn::Module& a, const nn::Module& b) {
  const auto x = nn::state_of(a), y = nn::state_of(b);
  if (x.size() != y.size()) return false;
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i].first != y[i].first || !same_bytes(x[i].second, y[i].second)) return false;
  return true;
}

}  // namespace

TEST_CASE("trainable parameters of resnet18 with ten classes") {
  // A of LoRA has rank x the inputs of a convolution's weight, B rank x its outputs.
  int64_t lora = 0, adapter = 0;
  const auto plain = nn::model_config("resnet18", "timm", 10)->build();
  for (const nn::LayerSlot& slot : plain->slots()) {
    if (slot.kind != nn::LayerSlot::Kind::kConv) continue;
    const Shape w = conv_at(slot)->weight.shape();
    lora += 8 * (w[1] * w[2] * w[3] + w[0]);
  }
  // Two blocks of each width: down and up with their biases.
  for (const int64_t dim : {64, 128, 256, 512}) adapter += 2 * (2 * dim * (dim / 8) + dim / 8 + dim);
  // 4,800 channels leave a convolution and enter a batch norm.
  constexpr int64_t kHead = 5130, kChannels = 4800;
  const std::pair<const char*, int64_t> rows[] = {
      {"full", 11181642},         {"lp", kHead},          {"bitfit", kHead + kChannels}, {"bn", kHead + 2 * kChannels},
      {"ia3", kHead + kChannels}, {"lora", kHead + lora}, {"adapter", kHead + adapter}};
  for (const auto& [name, expected] : rows) {
    CAPTURE(name);
    const auto model = nn::model_config("resnet18", "timm", 10)->build();
    strategy(name).apply(*model, {}, 1);
    CHECK(model->trainable_parameter_count() == expected);
    const bool adds = strategy(name).adds_layers();
    CHECK(model->parameter_count() == plain->parameter_count() + (adds ? expected - kHead : 0));
  }
}

TEST_CASE("what has no meaning for a model is refused and says why") {
  const auto resnet = random_model(small_resnet_config(), 1);
  CHECK_THROWS_WITH_AS(strategy("compacter").apply(*resnet, {}, 1), doctest::Contains("transformers"), Error);
  CHECK_THROWS_WITH_AS(strategy("ln").apply(*resnet, {}, 1), doctest::Contains("hint: bn"), Error);
  const auto vit = testing::random_vit(testing::small_config(), 1);
  CHECK_THROWS_WITH_AS(strategy("bn").apply(*vit, {}, 1), doctest::Contains("hint: ln"), Error);
  const auto cnn = random_model(nn::SmallCnnConfig(), 1);
  CHECK_THROWS_WITH_AS(strategy("adapter").apply(*cnn, {}, 1), doctest::Contains("residual blocks"), Error);
  CHECK_THROWS_WITH_AS(strategy("bn").apply(*cnn, {}, 1), doctest::Contains("hint: bitfit"), Error);
  strategy("lora").apply(*resnet, small_options(), 1);
  CHECK_THROWS_WITH_AS(strategy("ia3").apply(*resnet, {}, 1), doctest::Contains("already"), Error);
}

TEST_CASE("BitFit trains every bias, BN-tuning every batch norm, of a residual net") {
  const auto model = random_model(small_resnet_config(), 1);
  strategy("bitfit").apply(*model, {}, 1);
  for (const std::string& path : trainable_paths(*model)) CHECK((path.ends_with("bias") || path == "fc.weight"));
  CHECK(trainable_paths(*model).size() == 6 + 2);
  strategy("bn").apply(*model, {}, 1);
  const std::vector<std::string> paths = trainable_paths(*model);
  CHECK(paths.size() == 2 * 6 + 2);
  for (const char* path : {"bn1.weight", "layer2.0.bn2.bias", "layer2.0.downsample.1.weight", "fc.bias"})
    CHECK(std::find(paths.begin(), paths.end(), path) != paths.end());
  CHECK(!decays("bn1.weight", Mode::kOfficial));
  CHECK(!decays("layer2.0.downsample.1.weight", Mode::kFixed));
  CHECK(!decays("layer2.0.shortcut.1.weight", Mode::kFixed));
  CHECK(decays("layer2.0.downsample.0.weight", Mode::kFixed));
  CHECK(decays("conv1.lora_A", Mode::kFixed));
}

TEST_CASE("a fresh net of every strategy but the adapter is its base, to the bit") {
  for (const Kind kind : {Kind::kBasic, Kind::kBottleneck, Kind::kPreAct}) {
    const nn::ResNetConfig config = small_resnet_config(kind);
    const Tensor x = random_images(config, 3, 5);
    const NoGrad no_grad;
    const Tensor base = random_model(config, 1)->forward(Var(x)).value();
    for (const char* name : kStrategies) {
      CAPTURE(name);
      const auto model = random_model(config, 1);
      strategy(name).apply(*model, small_options(), 3);
      const Tensor y = model->forward(Var(x)).value();
      if (std::string(name) == "adapter") {
        CHECK(!same_bytes(y, base));
        CHECK(testing::relative_difference(y, base) < 0.05);
      } else {
        CHECK(same_bytes(y, base));
      }
    }
  }
}

TEST_CASE("every trainable parameter of a residual net gets a gradient, and no kernel runs for a frozen weight") {
  const nn::ResNetConfig config = small_resnet_config();
  const Tensor x = random_images(config, 4, 5), y = random_labels(4, config.classes, 6);
  constexpr int64_t kConvs = 6, kNorms = 6;
  for (const char* name : kStrategies) {
    CAPTURE(name);
    const auto model = random_model(config, 1);
    strategy(name).apply(*model, small_options(), 3);
    disturb(*model, 4);
    model->set_training(true);
    std::vector<Var> wanted;
    std::vector<std::string> paths;
    for (const nn::NamedParameter& p : model->parameters())
      if (p.var.requires_grad()) {
        wanted.push_back(p.var);
        paths.push_back(p.path);
      }
    reset_kernel_calls();
    const Grads grads = gradients(ops::cross_entropy(model->forward(Var(x)), y), wanted);
    for (size_t i = 0; i < grads.size(); ++i) {
      CAPTURE(paths[i]);
      REQUIRE(grads[i].defined());
      CHECK(testing::largest(grads[i]) > 0);
    }
    const std::string s = name;
    // A of every LoRA pair is a convolution of its own.
    CHECK(kernel_calls("conv2d_backward_weight") == (s == "full" || s == "lora" ? kConvs : 0));
    if (s == "lp") CHECK(kernel_calls("conv2d_backward_input") == 0);
    // In training mode the input gradient of a batch norm needs its sums.
    if (s == "lp") CHECK(kernel_calls("batch_norm_backward_weight") == 0);
    if (s == "full" || s == "bn" || s == "bitfit") CHECK(kernel_calls("batch_norm_backward_weight") == kNorms);
  }
}

TEST_CASE("what an evaluation of a residual net attacks computes the image gradient alone") {
  for (const Kind kind : {Kind::kBasic, Kind::kPreAct}) {
    const nn::ResNetConfig config = small_resnet_config(kind);
    const Tensor x = random_images(config, 2, 5), y = random_labels(2, config.classes, 6);
    for (const char* name : kStrategies) {
      CAPTURE(name);
      const auto model = random_model(config, 1);
      strategy(name).apply(*model, small_options(), 3);
      disturb(*model, 4);
      const auto attacked = evaluation_model(*model, strategy(name), small_options());
      CHECK(!attacked->training());
      const Var input(x, true);
      reset_kernel_calls();
      const Grads g = gradients(ops::cross_entropy(attacked->forward(input), y), {input});
      CHECK(testing::largest(g[0]) > 0);
      for (const char* kernel : {"conv2d_backward_weight", "batch_norm_backward_weight", "batch_norm_statistics",
                                 "linear_backward_weight", "sum_columns"}) {
        CAPTURE(kernel);
        CHECK(kernel_calls(kernel) == 0);
      }
      // Merged: no convolution is left that only an adapted layer makes.
      const int64_t convs = static_cast<int64_t>(config.layer_costs().size()) - 1;
      CHECK(kernel_calls("conv2d_forward") == convs);
      CHECK(kernel_calls("conv2d_backward_input") == convs);
    }
  }
}

TEST_CASE("merged equals unmerged on convolutional nets, and a rebuilt net is equal to the bit") {
  std::vector<std::shared_ptr<nn::ModelConfig>> configs;
  for (const Kind kind : {Kind::kBasic, Kind::kBottleneck, Kind::kPreAct})
    configs.push_back(small_resnet_config(kind).clone());
  configs.push_back(nn::vnncomp_resnet_2b().clone());
  for (const auto& config : configs) {
    CAPTURE(config->description());
    for (const char* name : kStrategies) {
      if (config->family() == std::string("vnncomp") && std::string(name) == "bn") continue;
      CAPTURE(name);
      const Strategy& s = strategy(name);
      const auto model = random_model(*config, 1, DType::kF64);
      const Tensor x = random_images(*config, 3, 5, DType::kF64);
      s.apply(*model, small_options(), 3);
      disturb(*model, 4);
      const NoGrad no_grad;
      const Tensor want = model->forward(Var(x)).value();
      if (std::string(name) == "adapter")
        CHECK_THROWS_WITH_AS(merge(*model), doctest::Contains("cannot be folded"), Error);
      else
        CHECK(testing::relative_difference(merge(*model)->forward(Var(x)).value(), want) < 1e-12);
      CHECK(same_bytes(rebuild(*model, s, small_options())->forward(Var(x)).value(), want));
      CHECK(evaluation_model(*model, s, small_options())->trainable_parameter_count() == 0);
    }
  }
}

TEST_CASE("running statistics move under every strategy but linear probing, and a delta carries them") {
  const nn::ResNetConfig config = small_resnet_config();
  const Tensor x = random_images(config, 8, 5), y = random_labels(8, config.classes, 6);
  const std::string file = (std::filesystem::temp_directory_path() / "taut_test_resnet_delta.safetensors").string();
  for (const char* name : kStrategies) {
    CAPTURE(name);
    const Strategy& s = strategy(name);
    const auto trained = random_model(config, 1);
    const std::string base = base_hash(*trained);
    s.apply(*trained, small_options(), 3);
    const auto before = copy_of(nn::state_of(*trained));
    TrainOptions options;
    options.lr = 1e-2;
    Trainer trainer(trained, options);
    for (int i = 0; i < 3; ++i) trainer.step(x, y);
    CHECK(!trained->training());
    for (const nn::NamedBuffer& b : trained->buffers())
      CHECK(same_bytes(b.var.value(), before.at(b.path)) == (std::string(name) == "lp"));
    save_delta(file, *trained, s, small_options(), base);

    const auto fresh = random_model(config, 1);
    CHECK(base_hash(*fresh) == base);
    s.apply(*fresh, small_options(), 9);
    load_delta(file, *fresh, s, small_options(), base);
    CHECK(same_state(*fresh, *trained));
    const NoGrad no_grad;
    CHECK(same_bytes(fresh->forward(Var(x)).value(), trained->forward(Var(x)).value()));

    // Other running statistics are another base.
    const auto other = random_model(config, 1);
    Tensor mean = other->parameter("bn1.running_mean").value();
    mean.data<float>()[0] += 1;
    CHECK_THROWS_WITH_AS(load_delta(file, *fresh, s, small_options(), base_hash(*other)),
                         doctest::Contains("base_sha256"), Error);

    Tensor variance = trained->parameter("bn1.running_var").value();
    variance.data<float>()[2] = -1;
    save_delta(file, *trained, s, small_options(), base);
    CHECK_THROWS_WITH_AS(
        load_delta(file, *fresh, s, small_options(), base),
        doctest::Contains("'bn1.running_var': expected variances, which are at least 0, got -1 at index 2"), Error);
  }
  std::filesystem::remove(file);
}

TEST_CASE("a residual net learns, and reload-and-continue is bit-identical") {
  const nn::ResNetConfig config = small_resnet_config();
  const Tensor x = random_images(config, 16, 5), y = random_labels(16, config.classes, 6);
  for (const char* name : {"full", "lora", "bn"}) {
    CAPTURE(name);
    TrainOptions options;
    options.lr = 3e-2;
    options.schedule = {nn::ScheduleKind::kCosine, 2, 30};
    const auto fresh = [&] {
      auto model = random_model(config, 1);
      strategy(name).apply(*model, small_options(), 3);
      return model;
    };
    const auto model = fresh();
    Trainer trainer(model, options);
    std::vector<double> losses;
    for (int i = 0; i < 10; ++i) losses.push_back(trainer.step(x, y).loss);
    const auto state = copy_of(nn::state_of(*model)), moments = copy_of(trainer.state());
    for (int i = 0; i < 20; ++i) losses.push_back(trainer.step(x, y).loss);
    CHECK(losses.back() < 0.8 * losses.front());

    const auto resumed = fresh();
    Trainer again(resumed, options);
    nn::load_state(*resumed, state, "memory");
    again.load_state(moments, 10, "memory");
    for (int i = 0; i < 20; ++i) CHECK(again.step(x, y).loss == losses[static_cast<size_t>(10 + i)]);
    CHECK(same_state(*model, *resumed));
  }
}

}  // namespace taut::finetune
