// Deltas of convolutional nets in peft's layout: folders that peft wrote for a ResNet of timm
// (tests/golden/adapters/conv, made by scripts/make_adapter_goldens) give their logits and are written again to the
// byte; ours come back with the same function, running statistics included; what no library has is refused and says
// why.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "autograd/ops.h"
#include "finetune/delta.h"
#include "finetune/foreign.h"
#include "nn/small_nets.h"
#include "tensor/safetensors.h"
#include "tests/cases/tolerance.h"
#include "tests/small_resnet.h"

namespace taut::finetune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Tensors = std::vector<std::pair<std::string, Tensor>>;
using testing::random_images;
using testing::random_model;
using testing::relative_difference;
using testing::small_resnet_config;
using Kind = nn::ResNetConfig::Kind;

const fs::path kGolden = fs::path(TAUT_SOURCE_DIR) / "tests/golden/adapters/conv";
const std::string kPrefix = "base_model.model.";

// timm's ResNet of the script: the stem is as large as ever, everything behind it is small.
nn::ResNetConfig golden_config() {
  nn::ResNetConfig c;
  c.image_size = 32;
  c.classes = 5;
  c.planes = {4, 8, 8, 8};
  c.depths = {1, 1, 1, 1};
  return c;
}

std::shared_ptr<nn::Model> golden_base(DType dtype) {
  const auto net = golden_config().build(dtype);
  nn::load_weights(*net, (kGolden / "base.safetensors").string());
  return net;
}

// A folder in peft's layout that a test writes, beside the file of a delta.
class Written {
 public:
  explicit Written(const std::string& name) : root_(fs::temp_directory_path() / ("taut_test_conv_" + name)) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~Written() { fs::remove_all(root_); }
  std::string delta() const { return (root_ / "delta.safetensors").string(); }
  std::string folder() const { return (root_ / "peft").string(); }
  Json config() const { return Json::parse(std::ifstream(root_ / "peft/adapter_config.json")); }
  Tensors tensors() const {
    Tensors all;
    const SafetensorsFile file = SafetensorsFile::open(folder() + "/adapter_model.safetensors");
    for (const std::string& n : file.names()) all.emplace_back(n, file.read(n));
    return all;
  }
  void write(const Json& config, const Tensors& tensors) const {
    fs::create_directories(folder());
    std::ofstream(root_ / "peft/adapter_config.json") << config.dump();
    write_safetensors(folder() + "/adapter_model.safetensors", tensors);
  }

 private:
  fs::path root_;
};

std::set<std::string> as_set(const Json& names) { return names.get<std::set<std::string>>(); }

void move(nn::Model& model, uint64_t seed) {
  const auto add_noise = [&](Var var, const std::string& path, double spread) {
    Tensor noise = Tensor::empty(var.shape(), var.dtype());
    nn::fill_uniform(noise, spread, seed, path);
    var.set_value(ops::add(Var(var.value()), Var(noise)).value());
  };
  for (nn::NamedParameter& p : model.parameters())
    if (p.var.requires_grad()) add_noise(p.var, p.path, 0.2);
  for (nn::NamedBuffer& b : model.buffers()) add_noise(b.var, b.path, 0.1);
}

StrategyOptions small_options() {
  StrategyOptions o;
  o.rank = 3;
  o.alpha = 5;
  o.reduction = 4;
  return o;
}

const struct {
  const char* name;
  const char* method;
  bool has_head;
} kCases[] = {{"peft_lora", "lora", true},
              {"peft_lora_patterns", "lora", true},
              {"peft_dora", "lora", false},
              {"peft_ia3", "ia3", true},
              {"peft_ia3_inputs", "ia3", false}};

}  // namespace

TEST_CASE("deltas that peft wrote for a ResNet give their logits") {
  const SafetensorsFile expected = SafetensorsFile::open((kGolden / "expected.safetensors").string());
  const NoGrad no_grad;
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double limit = dtype == DType::kF64 ? cases::kGoldenModel : cases::kGoldenF32StepsUlps * 0x1p-23;
    const Var images(expected.read("images").to(dtype));
    CHECK(relative_difference(golden_base(dtype)->forward(images).value(), expected.read("base")) < limit);
    for (const auto& c : kCases) {
      CAPTURE(c.name);
      const auto net = golden_base(dtype);
      const ForeignDelta delta = load_foreign_delta((kGolden / c.name).string(), *net);
      CHECK(delta.method == c.method);
      CHECK(delta.has_head == c.has_head);
      const Tensor want = expected.read(c.name);
      CHECK(relative_difference(expected.read("base"), want) > 1e-2);
      CHECK(relative_difference(net->forward(images).value(), want) < limit);
    }
  }
}

TEST_CASE("what peft wrote for a ResNet is written again: every tensor to the byte, the configuration by its keys") {
  const std::pair<const char*, const char*> cases[] = {{"peft_lora", "lora"}, {"peft_ia3", "ia3"}};
  for (const auto& [name, method] : cases) {
    CAPTURE(name);
    const SafetensorsFile theirs = SafetensorsFile::open((kGolden / name / "adapter_model.safetensors").string());
    const Json their_config = Json::parse(std::ifstream(kGolden / name / "adapter_config.json"));
    StrategyOptions options;
    options.rank = 4;
    options.alpha = 6;
    const auto net = golden_base(DType::kF32);
    const std::string base = base_hash(*net);
    strategy(method).apply(*net, options, 1);
    std::map<std::string, Tensor> left;
    for (const std::string& n : theirs.names()) left[n] = theirs.read(n);
    const auto take = [&](const std::string& stored, const std::string& path) {
      CAPTURE(stored);
      REQUIRE(left.contains(stored));
      Var var = net->parameter(path);
      var.set_value(left.at(stored).reshape(var.shape()));
      left.erase(stored);
    };
    for (const nn::NamedParameter& p : net->parameters()) {
      std::string stored = kPrefix + p.path;
      if (stored.ends_with(".ia3")) stored.replace(stored.size() - 3, 3, "ia3_l");
      if (stored.find(".lora_") != std::string::npos) stored += ".weight";
      if (p.var.requires_grad() || left.contains(stored)) take(stored, p.path);
    }
    for (const nn::NamedBuffer& b : net->buffers()) take(kPrefix + b.path, b.path);
    for (const auto& [stored, t] : left) CHECK(stored.ends_with(".num_batches_tracked"));

    const Written ours(name);
    save_delta(ours.delta(), *net, strategy(method), options, base);
    write_foreign_delta(ours.delta(), ours.folder(), Layout::kPeft);
    const Tensors written = ours.tensors();
    CHECK(written.size() == theirs.names().size());
    for (const auto& [n, t] : written) {
      CAPTURE(n);
      CHECK(same_bytes(t, theirs.read(n)));
    }
    const Json config = ours.config();
    for (const auto& [key, value] : config.items()) {
      CAPTURE(key);
      if (key == "target_modules" || key == "modules_to_save")
        CHECK(as_set(value) == as_set(their_config.at(key)));
      else if (key != "auto_mapping")
        CHECK(value == their_config.at(key));
    }
  }
}

TEST_CASE("deltas of every convolutional net, written for peft, are read back with the same function") {
  std::vector<std::shared_ptr<nn::ModelConfig>> configs;
  for (const Kind kind : {Kind::kBasic, Kind::kBottleneck, Kind::kPreAct})
    configs.push_back(small_resnet_config(kind).clone());
  nn::ResNetConfig wide = small_resnet_config(Kind::kPreAct);
  wide.names = nn::ResNetConfig::Names::kWide;
  nn::ResNetConfig padded = small_resnet_config();
  padded.names = nn::ResNetConfig::Names::kAkamaster;
  padded.shortcut = nn::ResNetConfig::Shortcut::kZeroPadding;
  configs.push_back(wide.clone());
  configs.push_back(padded.clone());
  configs.push_back(nn::vnncomp_resnet_2b().clone());
  configs.push_back(nn::SmallCnnConfig().clone());
  const NoGrad no_grad;
  for (const auto& config : configs) {
    CAPTURE(config->description());
    const Var x(random_images(*config, 3, 5, DType::kF64));
    for (const std::string name : {"lora", "ia3", "adapter", "full", "bn", "bitfit", "lp"}) {
      CAPTURE(name);
      const bool has_norms = config->family() == std::string("resnet");
      if ((name == "bn" && !has_norms) || (name == "adapter" && config->family() == std::string("small_cnn"))) continue;
      const auto trained = random_model(*config, 1, DType::kF64);
      const std::string base = base_hash(*trained);
      strategy(name).apply(*trained, small_options(), 3);
      move(*trained, 4);
      const Written ours("own");
      save_delta(ours.delta(), *trained, strategy(name), small_options(), base);
      CHECK(is_own_delta(ours.delta()));
      CHECK_THROWS_WITH_AS(write_foreign_delta(ours.delta(), ours.folder(), Layout::kAdapterHub),
                           doctest::Contains("transformers only"), Error);
      if (name != "lora" && name != "ia3") {
        CHECK_THROWS_WITH_AS(write_foreign_delta(ours.delta(), ours.folder(), Layout::kPeft),
                             doctest::Contains("peft has no type"), Error);
        CHECK(!fs::exists(ours.folder()));
        continue;
      }
      write_foreign_delta(ours.delta(), ours.folder(), Layout::kPeft);
      CHECK(!is_own_delta(ours.folder() + "/adapter_model.safetensors"));
      const auto net = random_model(*config, 1, DType::kF64);
      const ForeignDelta delta = load_foreign_delta(ours.folder(), *net);
      CHECK(delta.method == name);
      CHECK(delta.has_head);
      CHECK(relative_difference(net->forward(x).value(), trained->forward(x).value()) < cases::kF64Limit);
      for (const nn::NamedBuffer& b : net->buffers())
        CHECK(same_bytes(b.var.value(), trained->parameter(b.path).value()));
    }
  }
}

TEST_CASE("names of the code bases of CIFAR nets are read: linear for fc, shortcut for downsample") {
  const NoGrad no_grad;
  const auto want = golden_base(DType::kF64), net = golden_base(DType::kF64);
  const Var x(random_images(golden_config(), 2, 5, DType::kF64));
  load_foreign_delta((kGolden / "peft_lora").string(), *want);
  const SafetensorsFile file = SafetensorsFile::open((kGolden / "peft_lora/adapter_model.safetensors").string());
  Tensors renamed;
  for (std::string name : file.names()) {
    const Tensor t = file.read(name);
    if (const size_t at = name.find("downsample"); at != std::string::npos) name.replace(at, 10, "shortcut");
    if (const size_t at = name.find(".fc."); at != std::string::npos) name.replace(at, 3, ".linear");
    renamed.emplace_back(name, t);
  }
  const Written ours("spelled");
  ours.write(Json::parse(std::ifstream(kGolden / "peft_lora/adapter_config.json")), renamed);
  load_foreign_delta(ours.folder(), *net);
  CHECK(same_bytes(net->forward(x).value(), want->forward(x).value()));
}

TEST_CASE("a delta that does not fit a convolutional net is refused and says why; the net is unchanged") {
  const Json lora = {{"peft_type", "LORA"}, {"lora_alpha", 4}},
             ia3 = {{"peft_type", "IA3"}, {"feedforward_modules", {"conv2"}}};
  const auto zeros = [](const std::string& name, Shape shape) {
    return std::pair<std::string, Tensor>{kPrefix + name, Tensor::zeros(std::move(shape))};
  };
  const Tensors pair = {zeros("layer1.0.conv1.lora_A.weight", {2, 64, 3, 3}),
                        zeros("layer1.0.conv1.lora_B.weight", {4, 2, 1, 1})};
  const auto with = [](Tensors all, std::pair<std::string, Tensor> more) {
    all.push_back(std::move(more));
    return all;
  };
  Json pattern = ia3;
  pattern["feedforward_modules"] = "(?=a*)b";
  const struct {
    Json config;
    Tensors tensors;
    const char* word;
  } cases[] = {
      {lora, {zeros("bn1.lora_A.weight", {2, 64}), zeros("bn1.lora_B.weight", {64, 2})}, "no linear layer and no conv"},
      {lora, {zeros("layer1.0.conv1.lora_A.weight", {2, 64, 1, 1})}, "(4, 64, 3, 3)"},
      {lora, {zeros("layer1.0.conv1.lora_A.weight", {0, 64, 3, 3})}, "rank >= 1"},
      {lora, {pair[0]}, "lora_B of 'layer1.0.conv1': expected (4, 2, 1, 1), got nothing"},
      {lora, {pair[0], zeros("layer1.0.conv1.lora_B.weight", {4, 2})}, "expected (4, 2, 1, 1), got (4, 2)"},
      {lora, with(pair, zeros("layer1.0.conv1.lora_B.bias", {4})), "no bias to fold it into"},
      {lora, with(pair, zeros("layer9.0.conv1.weight", {4})), "layer9.0.conv1.weight"},
      {lora, with(pair, zeros("layer9.0.bn1.num_batches_tracked", {})), "layer9.0.bn1.num_batches_tracked"},
      {lora, with(pair, zeros("fc.weight", {7, 8})), "model.classes=7"},
      {lora, with(pair, {kPrefix + "layer1.0.bn1.running_var", Tensor::full({4}, -1)}),
       "layer1.0.bn1.running_var': expected variances, which are at least 0, got -1 at index 0"},
      {ia3, {zeros("layer1.0.conv1.ia3_l", {4, 1})}, "expected (1, 4, 1, 1), got (4, 1)"},
      {ia3, {zeros("layer2.0.conv1.ia3_l", {1, 4, 1, 1})}, "expected (1, 8, 1, 1)"},  // what enters it
      {pattern, {zeros("layer1.0.conv1.ia3_l", {1, 4, 1, 1})}, "feedforward_modules"},
      {{{"name", "study"}, {"config", {{"architecture", "lora"}}}}, pair, "transformers only"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.word);
    const Written ours("wrong");
    ours.write(c.config, c.tensors);
    const auto net = golden_base(DType::kF32), untouched = golden_base(DType::kF32);
    CHECK_THROWS_WITH_AS(load_foreign_delta(ours.folder(), *net), doctest::Contains(c.word), Error);
    const auto after = nn::state_of(*net), before = nn::state_of(*untouched);
    for (size_t i = 0; i < before.size(); ++i) CHECK(same_bytes(after[i].second, before[i].second));
  }
  const Written ours("right");
  ours.write(lora, pair);
  CHECK(!load_foreign_delta(ours.folder(), *golden_base(DType::kF32)).has_head);
}

}  // namespace taut::finetune
