// Residual nets: sizes of the named ones, blocks against the same formulas written with separate operations, modes,
// running statistics, weights under the names of other code bases.
#include <doctest/doctest.h>

#include <filesystem>

#include "autograd/ops.h"
#include "nn/models.h"
#include "nn/small_nets.h"
#include "nn/weights.h"
#include "tensor/safetensors.h"
#include "tests/small_resnet.h"

namespace taut::nn {
namespace {

using testing::random_images;
using testing::random_model;
using testing::small_resnet_config;
using Kind = ResNetConfig::Kind;

std::string temp_file(const char* name) { return (std::filesystem::temp_directory_path() / name).string(); }

// A net's parameters by path, and its operations one by one.
struct Plain {
  const Model& model;

  Var at(const std::string& path) const { return model.parameter(path); }
  Var conv(const Var& x, const std::string& path, int64_t stride = 1) const {
    const Var w = at(path + ".weight");
    return ops::conv2d(x, w, {}, {.stride = stride, .padding = w.size(2) / 2});
  }
  Var norm(const Var& x, const std::string& path) const {
    return ops::batch_norm(x, at(path + ".weight"), at(path + ".bias"), at(path + ".running_mean").value().clone(),
                           at(path + ".running_var").value().clone(), model.training(), 0.1, 1e-5);
  }
  Var images(const Var& x) const { return ops::permute(x, {0, 2, 3, 1}); }
  Var head(const Var& x, const std::string& path) const {
    const Var mean = ops::scale(ops::sum(ops::sum(x, 1), 1), 1 / static_cast<double>(x.size(1) * x.size(2)));
    return ops::linear(mean, at(path + ".weight"), at(path + ".bias"));
  }
  Var pre_activated(const Var& x, const std::string& block, int64_t stride, const std::string& shortcut) const {
    const Var a = ops::relu(norm(x, block + ".bn1"));
    const Var y = conv(ops::relu(norm(conv(a, block + ".conv1", stride), block + ".bn2")), block + ".conv2");
    return ops::add(y, shortcut.empty() ? x : conv(a, block + "." + shortcut, stride));
  }
};

ResNetConfig plain_images(ResNetConfig c) {
  c.mean = {0, 0, 0};
  c.std = {1, 1, 1};
  return c;
}

}  // namespace

TEST_CASE("parameters and FLOPs of the named nets") {
  const std::pair<const char*, int64_t> counts[] = {
      {"resnet18", 11689512},         {"resnet34", 21797672},        {"resnet50", 25557032},
      {"resnet101", 44549160},        {"resnet152", 60192808},       {"resnet18_cifar", 11173962},
      {"cifar_resnet20", 269722},     {"cifar_resnet32", 464154},    {"cifar_resnet44", 658586},
      {"cifar_resnet56", 853018},     {"cifar_resnet110", 1727962},  {"wide_resnet28_10", 36479194},
      {"wide_resnet34_10", 46160474}, {"preact_resnet18", 11171146}, {"vnncomp_resnet2b", 112006},
      {"trades_small_cnn", 312202},   {"cifar_resnet20_b", 272474},  {"cifar_resnet56_b", 855770},
  };
  for (const auto& [name, count] : counts) {
    CAPTURE(name);
    CHECK(model_config(name)->parameter_count() == count);
  }
  CHECK(model_config("resnet18")->forward_flops() == doctest::Approx(2 * 1.814e9).epsilon(0.001));
  CHECK(model_config("resnet50")->forward_flops() == doctest::Approx(2 * 4.089e9).epsilon(0.001));
  CHECK(model_config("resnet18_cifar")->forward_flops() == doctest::Approx(2 * 0.5554e9).epsilon(0.001));
  CHECK(model_config("cifar_resnet20")->forward_flops() == doctest::Approx(2 * 40.55e6).epsilon(0.01));
  CHECK(state_of(*model_config("cifar_resnet20")->build()).size() == 97);
  CHECK(state_of(*model_config("cifar_resnet56")->build()).size() == 277);
  CHECK(model_config("vit_tiny_patch16_224")->parameter_count() == 5717416);
  CHECK(model_config("vit_base_patch16_224", "hf", 10)->parameter_count() == 86396938);
  CHECK_THROWS_WITH_AS(model_config("resnet18", "hf"), doctest::Contains("for ViTs"), Error);
  CHECK_THROWS_WITH_AS(model_config("resnet19"), doctest::Contains("resnet1"), Error);
}

TEST_CASE("every named net runs, costs its layers and has places under paths of its tree") {
  const NoGrad no_grad;
  for (const char* name : {"resnet18_cifar", "cifar_resnet20", "cifar_resnet20_b", "preact_resnet18",
                           "vnncomp_resnet2b", "vnncomp_resnet4b", "trades_small_cnn"}) {
    CAPTURE(name);
    const auto config = model_config(name, "timm", 7);
    const auto model = random_model(*config, 1);
    const Tensor y = model->forward(Var(random_images(*config, 2, 3))).value();
    CHECK(y.shape() == Shape{2, 7});
    CHECK(testing::largest(y) > 0);
    for (const LayerCost& cost : config->layer_costs()) {
      CAPTURE(cost.path);
      const Shape w = model->parameter(cost.path + ".weight").shape();
      double flops = 2;
      for (const int64_t n : w) flops *= static_cast<double>(n);
      for (size_t i = 0; i + 1 < cost.output.size(); ++i) flops *= static_cast<double>(cost.output[i]);
      CHECK(cost.flops == flops);
      CHECK(cost.output.back() == w[0]);
    }
    size_t convs = 0, linears = 0;
    for (const LayerSlot& slot : model->slots()) {
      if (slot.kind == LayerSlot::Kind::kBranchEnd) {
        CHECK(slot.layer == nullptr);
        continue;
      }
      CHECK(model->parameter(slot.path + ".weight").size(0) == slot.out);
      (slot.kind == LayerSlot::Kind::kConv ? convs : linears) += 1;
    }
    CHECK(convs + linears + 1 == config->layer_costs().size());
  }
}

TEST_CASE("a basic block with projections, in both modes, is its formula") {
  const ResNetConfig config = plain_images(small_resnet_config());
  for (const bool training : {false, true}) {
    CAPTURE(training);
    const auto model = random_model(config, 1, DType::kF64);
    model->set_training(training);
    const Plain p{*model};
    const Var x(random_images(config, 3, 2, DType::kF64));
    const NoGrad no_grad;
    Var h = ops::relu(p.norm(p.conv(p.images(x), "conv1"), "bn1"));
    Var y = p.norm(p.conv(ops::relu(p.norm(p.conv(h, "layer1.0.conv1"), "layer1.0.bn1")), "layer1.0.conv2"),
                   "layer1.0.bn2");
    h = ops::relu(ops::add(y, h));
    y = p.norm(p.conv(ops::relu(p.norm(p.conv(h, "layer2.0.conv1", 2), "layer2.0.bn1")), "layer2.0.conv2"),
               "layer2.0.bn2");
    h = ops::relu(ops::add(y, p.norm(p.conv(h, "layer2.0.downsample.0", 2), "layer2.0.downsample.1")));
    const Tensor want = p.head(h, "fc").value();
    CHECK(testing::relative_difference(model->forward(x).value(), want) < 1e-12);
  }
}

TEST_CASE("pre-activated blocks, with and without a norm at the end, are their formula") {
  for (const auto names : {ResNetConfig::Names::kPreAct, ResNetConfig::Names::kWide}) {
    const bool wide = names == ResNetConfig::Names::kWide;
    CAPTURE(wide);
    ResNetConfig config = plain_images(small_resnet_config(Kind::kPreAct));
    config.names = names;
    config.planes = {8, 12};
    const auto model = random_model(config, 1, DType::kF64);
    const Plain p{*model};
    const Var x(random_images(config, 3, 2, DType::kF64));
    const NoGrad no_grad;
    const std::string first = wide ? "block1.layer.0" : "layer1.0", second = wide ? "block2.layer.0" : "layer2.0";
    Var h = p.pre_activated(p.conv(p.images(x), "conv1"), first, 1, "");
    h = p.pre_activated(h, second, 2, wide ? "convShortcut" : "shortcut.0");
    if (wide) h = ops::relu(p.norm(h, "bn1"));
    const Tensor want = p.head(h, wide ? "fc" : "linear").value();
    CHECK(testing::relative_difference(model->forward(x).value(), want) < 1e-12);
  }
}

TEST_CASE("option A: every second pixel, zeros on both sides of the channels") {
  ResNetConfig config = plain_images(small_resnet_config());
  config.shortcut = ResNetConfig::Shortcut::kZeroPadding;
  config.names = ResNetConfig::Names::kAkamaster;
  const auto model = random_model(config, 1, DType::kF64);
  const Plain p{*model};
  const Var x(random_images(config, 2, 2, DType::kF64));
  const NoGrad no_grad;
  Var h = ops::relu(p.norm(p.conv(p.images(x), "conv1"), "bn1"));
  Var y =
      p.norm(p.conv(ops::relu(p.norm(p.conv(h, "layer1.0.conv1"), "layer1.0.bn1")), "layer1.0.conv2"), "layer1.0.bn2");
  h = ops::relu(ops::add(y, h));
  y = p.norm(p.conv(ops::relu(p.norm(p.conv(h, "layer2.0.conv1", 2), "layer2.0.bn1")), "layer2.0.conv2"),
             "layer2.0.bn2");
  Tensor shortcut = Tensor::zeros({2, 4, 4, 16}, DType::kF64);
  const std::vector<double> before = h.value().to_doubles();
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < 4; ++j)
        for (int64_t k = 0; k < 8; ++k)
          shortcut.data<double>()[((b * 4 + i) * 4 + j) * 16 + 4 + k] =
              before[static_cast<size_t>(((b * 8 + 2 * i) * 8 + 2 * j) * 8 + k)];
  h = ops::relu(ops::add(y, Var(shortcut)));
  CHECK(testing::relative_difference(model->forward(x).value(), p.head(h, "linear").value()) < 1e-12);
}

TEST_CASE("linear layers after convolutions see images in the order (c, h, w)") {
  const NoGrad no_grad;
  const Var x(Tensor::from(std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {1, 2, 2, 3}));
  CHECK(flatten_as_channels_first(x).value().to_doubles() == std::vector<double>{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11});
}

TEST_CASE(
    "running statistics: moved by training passes alone, saved with the parameters, neither counted nor trained") {
  const ResNetConfig config = small_resnet_config();
  const auto model = random_model(config, 1);
  const int64_t parameters = model->parameter_count();
  CHECK(model->buffers().size() == 2 * 6);
  model->set_requires_grad(true);
  CHECK(model->trainable_parameter_count() == parameters);
  for (const NamedBuffer& b : model->buffers()) CHECK(!b.var.requires_grad());

  const auto copies = [&] {
    std::map<std::string, Tensor> state;
    for (const auto& [path, t] : state_of(*model)) state[path] = t.clone();
    return state;
  };
  const auto changed = [&](const std::map<std::string, Tensor>& before) {
    size_t n = 0;
    for (const auto& [path, t] : state_of(*model)) n += same_bytes(t, before.at(path)) ? 0 : 1;
    return n;
  };
  const Var x(random_images(config, 4, 2));
  const std::map<std::string, Tensor> before = copies();
  CHECK(before.size() == model->parameters().size() + model->buffers().size());
  model->forward(x);
  CHECK(changed(before) == 0);
  model->set_training(true);
  model->forward(x);
  CHECK(changed(before) == model->buffers().size());

  const auto fresh = config.build();
  load_state(*fresh, copies(), "memory");
  model->set_training(false);
  CHECK(same_bytes(fresh->forward(x).value(), model->forward(x).value()));
  std::map<std::string, Tensor> less = copies();
  less.erase("bn1.running_mean");
  CHECK_THROWS_WITH_AS(load_state(*fresh, less, "memory"), doctest::Contains("bn1.running_mean"), Error);
}

TEST_CASE("one image in training mode has no statistics where the image is one pixel") {
  ResNetConfig config = small_resnet_config();
  config.image_size = 2;
  const auto model = random_model(config, 1);
  model->set_training(true);
  CHECK_THROWS_WITH_AS(model->forward(Var(random_images(config, 1, 2))), doctest::Contains("two values a channel"),
                       Error);
}

TEST_CASE("weights of residual nets: prefixes, counters, two names of shortcut and head; what is missing is named") {
  const ResNetConfig config = small_resnet_config();
  const auto model = random_model(config, 1);
  const std::string file = temp_file("taut_test_resnet.safetensors");
  const auto save = [&](auto rename) {
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const auto& [path, t] : state_of(*model)) {
      const std::string name = rename(path);
      if (!name.empty()) tensors.emplace_back(name, t);
    }
    tensors.emplace_back(rename("bn1") + ".num_batches_tracked", Tensor::full({}, 7, DType::kI64));
    write_safetensors(file, tensors);
  };
  const auto loads = [&] {
    const auto fresh = config.build();
    load_weights(*fresh, file);
    const auto a = state_of(*model), b = state_of(*fresh);
    for (size_t i = 0; i < a.size(); ++i)
      if (!same_bytes(a[i].second, b[i].second)) return false;
    return true;
  };
  save([](const std::string& path) { return path; });
  CHECK(loads());
  save([](const std::string& path) { return "module." + path; });
  CHECK(loads());
  save([](std::string path) {
    if (path.starts_with("fc.")) path = "linear" + path.substr(2);
    if (const size_t at = path.find("downsample"); at != std::string::npos) path.replace(at, 10, "shortcut");
    return path;
  });
  CHECK(loads());
  save([](const std::string& path) { return path == "layer2.0.bn1.running_var" ? "" : path; });
  CHECK_THROWS_WITH_AS(load_weights(*config.build(), file), doctest::Contains("layer2.0.bn1.running_var"), Error);

  save([](const std::string& path) { return path; });
  Tensor variances = model->parameter("layer2.0.bn1.running_var").value();
  variances.data<float>()[3] = -0.5f;
  save([](const std::string& path) { return path; });
  const std::string negative =
      "'layer2.0.bn1.running_var': expected variances, which are at least 0, got -0.5 at index 3";
  CHECK_THROWS_WITH_AS(load_weights(*config.build(), file), doctest::Contains(negative.c_str()), Error);
  variances.data<float>()[3] = 0;
  save([](const std::string& path) { return path; });
  CHECK(loads());

  ResNetConfig other = config;
  other.classes = 9;
  CHECK_THROWS_WITH_AS(load_weights(*other.build(), file), doctest::Contains("fc.weight (5, 16) instead of (9, 16)"),
                       Error);
  const auto with_new_head = other.build();
  CHECK(
      !load_weights(*with_new_head, file, {.allow_missing = {}, .allow_unexpected = {}, .new_head = true}).head_loaded);
  with_new_head->reset_head(9, 1);
  CHECK(testing::largest(with_new_head->parameter("fc.weight").value()) > 0);
  std::filesystem::remove(file);
}

TEST_CASE("a residual net takes images of any height and width: turned by 90 degrees with its kernels, the same") {
  ResNetConfig config = small_resnet_config();
  const auto model = random_model(config, 5);
  model->set_training(false);
  Tensor images = Tensor::empty({2, 3, 8, 14});
  fill_uniform(images, 1, 5, "images");
  const auto turned = [](const Tensor& t) {  // the last two dimensions change places
    const int64_t h = t.size(2), w = t.size(3);
    Tensor out = Tensor::empty({t.size(0), t.size(1), w, h}, t.dtype());
    for (int64_t i = 0; i < t.size(0) * t.size(1); ++i)
      for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x)
          out.span<float>()[i * h * w + x * h + y] = t.span<float>()[i * h * w + y * w + x];
    return out;
  };
  const std::vector<double> wide = model->forward(Var(images)).value().to_doubles();
  for (const NamedParameter& p : model->parameters()) {
    Tensor weight = p.var.value();
    if (weight.ndim() == 4) weight.copy_from(turned(weight));
  }
  const std::vector<double> high = model->forward(Var(turned(images))).value().to_doubles();
  REQUIRE(wide.size() == high.size());
  for (size_t i = 0; i < wide.size(); ++i) CHECK(wide[i] == doctest::Approx(high[i]).epsilon(1e-4));
}

TEST_CASE("images too small for the stages and other wrong sizes are refused") {
  ResNetConfig config = small_resnet_config();
  config.image_size = 1;
  CHECK_THROWS_WITH_AS(config.build(), doctest::Contains("at least 2 pixels"), Error);
  const auto model = small_resnet_config().build();
  CHECK_THROWS_WITH_AS(model->forward(Var(Tensor::zeros({1, 3, 8, 1}))), doctest::Contains("(1, 3, 8, 1)"), Error);
  CHECK_THROWS_WITH_AS(model->forward(Var(Tensor::zeros({1, 4, 8, 8}))), doctest::Contains("(1, 4, 8, 8)"), Error);
  VnncompConfig vnncomp = vnncomp_resnet_2b();
  vnncomp.image_size = 28;
  CHECK_THROWS_WITH_AS(vnncomp.build(), doctest::Contains("32 pixels"), Error);
}

}  // namespace taut::nn
