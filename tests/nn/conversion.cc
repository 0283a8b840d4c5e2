// Conversion goes from every family of names to every other and back without a changed bit, name or type: ViTs between
// timm, Hugging Face, AdapterHub, Google and big_vision, convolutional nets between the code bases they come from.
#include <doctest/doctest.h>

#include <filesystem>

#include "nn/convert.h"
#include "nn/models.h"
#include "nn/recognise.h"
#include "tensor/npz_writer.h"
#include "tensor/safetensors.h"
#include "tests/small_resnet.h"
#include "tests/weight_files.h"

namespace taut::nn {
namespace {

using testing::contents;
using testing::rename;
using testing::temp;
using testing::Tensors;
using testing::tensors_of;

// A folder for files that conversion reads and writes.
class Folder {
 public:
  Folder() : path_(temp("taut_test_conversion")) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A net's tensors as bytes that nothing could compute with, and the counters of its batch norms: what a name map alone
// can carry, at a quarter of the size.
Tensors bytes_of(const Model& net) {
  Tensors tensors;
  uint8_t next = 1;
  for (const auto& [path, t] : state_of(net)) {
    Tensor bytes = Tensor::empty(t.shape(), DType::kU8);
    for (uint8_t& b : bytes.span<uint8_t>()) b = next = static_cast<uint8_t>(next * 5 + 17);
    tensors.emplace_back(path, bytes);
    if (path.ends_with(".running_mean"))
      tensors.emplace_back(path.substr(0, path.size() - 12) + "num_batches_tracked",
                           Tensor::full({}, next, DType::kI64));
  }
  return tensors;
}

void write(const std::string& file, const Tensors& tensors) {
  std::map<std::string, std::string> dtypes;
  for (const auto& [name, t] : tensors)
    if (t.dtype() == DType::kU8) dtypes[name] = "F8_E4M3";
  write_safetensors(file, tensors, {}, dtypes);
}

}  // namespace

TEST_CASE("a ViT's weights go from every family of names to every other and back, bit-equal") {
  VitConfig config = testing::small_config();
  config.heads = 1;  // what a file that does not say it has for a width of 64
  const auto vit = testing::random_vit(config, 1);
  std::map<std::string, Tensors> families = {{"timm", tensors_of(*vit, NameStyle::kTimm)},
                                             {"hf", tensors_of(*vit, NameStyle::kHf)},
                                             {"google", tensors_of(*vit, NameStyle::kGoogle)}};
  families["hf_model"] = families["adapterhub"] = families["hf_v5"] = families["hf"];
  rename(families["hf_v5"], "encoder\\.layer\\.", "layers.");
  rename(families["hf_v5"], "attention\\.attention\\.(q|k|v)(uery|ey|alue)", "attention.$1_proj");
  rename(families["hf_v5"], "attention\\.output\\.dense", "attention.o_proj");
  rename(families["hf_v5"], "intermediate\\.dense", "mlp.fc1");
  rename(families["hf_v5"], "output\\.dense", "mlp.fc2");
  families["hf_model_v5"] = families["hf_v5"];
  rename(families["hf_model_v5"], "^vit\\.", "");
  rename(families["hf_model"], "^vit\\.", "");
  rename(families["adapterhub"], "^classifier", "heads.default.1");
  families["big_vision"] = families["google"];
  rename(families["big_vision"], "MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0");
  rename(families["big_vision"], "LayerNorm_2", "LayerNorm_1");
  rename(families["big_vision"], "MlpBlock_3", "MlpBlock_0");
  rename(families["big_vision"], "Transformer/posembed_input/pos_embedding", "pos_embedding");
  const Folder folder;
  std::map<std::string, std::string> files;
  for (const auto& [family, tensors] : families) {
    const bool npz = family == "google" || family == "big_vision";
    files[family] = folder / (family + (npz ? ".npz" : ".safetensors"));
    if (npz)
      write_npz(files[family], tensors);
    else
      write_safetensors(files[family], tensors);
  }
  for (const auto& [from, in] : files) {
    for (const auto& [to, want] : files) {
      CAPTURE(from);
      CAPTURE(to);
      const std::string there = folder / ("there" + std::filesystem::path(want).extension().string()),
                        back = folder / ("back" + std::filesystem::path(in).extension().string());
      convert_weights(in, there, to);
      CHECK(contents(there) == contents(want));
      convert_weights(there, back, from);
      CHECK(contents(back) == contents(in));
    }
  }
  for (const auto& [family, prefix] : {std::pair{"hf", "module."}, {"google", "opt/target/"}}) {
    Tensors wrapped = families[family];
    rename(wrapped, "^", prefix);
    const std::string in = folder / "in.safetensors", out = folder / "out.safetensors", back = folder / "b.safetensors";
    write_safetensors(in, wrapped);
    convert_weights(in, out, "timm");
    CHECK(contents(out) == contents(files["timm"]));
    convert_weights(out, back, family, {{}, prefix});
    CHECK(contents(back) == contents(in));
  }
  CHECK_THROWS_WITH_AS(convert_weights(files["hf"], folder / "x.safetensors", "keras"), doctest::Contains("big_vision"),
                       Error);
  CHECK_THROWS_WITH_AS(convert_weights(files["hf"], folder / "x.safetensors", "timm", {{}, "my."}),
                       doctest::Contains("module."), Error);
  CHECK_THROWS_WITH_AS(convert_weights(files["hf"], folder / "x.safetensors", "akamaster"),
                       doctest::Contains("adapterhub"), Error);
}

TEST_CASE("Hugging Face's pooler beside a classifier has no place in other names, and pre_logits none in theirs") {
  VitConfig config = testing::small_config();
  config.heads = 1;
  config.pooler = true;
  const auto vit = testing::random_vit(config, 1);
  const Folder folder;
  const std::string in = folder / "in.safetensors", out = folder / "out.safetensors", back = folder / "b.safetensors";
  const auto has = [](const std::string& file, const std::string& part) {
    const std::vector<std::string> names = WeightsFile::open(file).names();
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& n) { return n.find(part) != std::string::npos; });
  };
  write_safetensors(in, tensors_of(*vit, NameStyle::kHf));
  ConvertReport report = convert_weights(in, out, "timm");
  REQUIRE(report.dropped.size() == 2);
  CHECK(report.dropped[0].starts_with("vit.pooler.dense.bias (the classifier does not read it"));
  CHECK(!has(out, "pre_logits"));
  config.pooler = false;
  const auto plain = config.build();
  CHECK_NOTHROW(load_weights(*plain, out));
  CHECK(same_bytes(plain->parameter("head.weight").value(), vit->parameter("head.weight").value()));
  CHECK(convert_weights(in, out, "timm", {{"pooler"}}).dropped[0] == "vit.pooler.dense.bias");
  CHECK(convert_weights(in, out, "hf_v5").dropped.empty());
  CHECK(has(out, "vit.pooler.dense.weight"));

  write_safetensors(in, tensors_of(*vit, NameStyle::kTimm));
  CHECK_THROWS_WITH_AS(convert_weights(in, out, "hf_model"), doctest::Contains("--drop pre_logits"), Error);
  CHECK(convert_weights(in, out, "hf_model", {{"pre_logits"}}).dropped.size() == 2);
  // Without a head the two are one layer.
  Tensors headless = tensors_of(*vit, NameStyle::kHf);
  std::erase_if(headless, [](const auto& t) { return t.first.starts_with("classifier"); });
  write_safetensors(in, headless);
  CHECK(convert_weights(in, out, "timm").dropped.empty());
  CHECK(has(out, "pre_logits.fc.weight"));
  convert_weights(out, back, "hf");
  CHECK(contents(back) == contents(in));
}

TEST_CASE("a convolutional net's weights go between the names of its code bases and back, bit-equal") {
  const Folder folder;
  const std::string in = folder / "in.safetensors", out = folder / "out.safetensors", back = folder / "b.safetensors";
  const struct {
    const char* model;
    const char* own;                   // its names here
    std::vector<const char*> others;   // that it has, too
    std::vector<const char*> refused;  // that it has not
  } cases[] = {
      {"cifar_resnet20", "akamaster", {"torchvision", "timm", "kuangliu"}, {"hf", "google", "adapterhub"}},
      {"cifar_resnet20_b", "akamaster", {"torchvision", "timm", "kuangliu"}, {"hf", "google", "adapterhub"}},
      {"resnet18_cifar", "torchvision", {"timm", "kuangliu"}, {"akamaster"}},
      {"preact_resnet18", "kuangliu", {"torchvision"}, {"akamaster"}},
      {"wide_resnet28_10", "torchvision", {"timm"}, {"akamaster", "kuangliu"}},
      {"vnncomp_resnet2b", "torchvision", {"timm"}, {"akamaster", "kuangliu"}},
      {"trades_small_cnn", "torchvision", {"timm"}, {"akamaster", "kuangliu"}},
  };
  for (const auto& c : cases) {
    CAPTURE(c.model);
    const std::shared_ptr<ModelConfig> config = model_config(c.model, "timm", 7);
    Tensors plain = bytes_of(*config->build());
    if (std::string(c.model) == "wide_resnet28_10")  // as TRADES' code saves it
      for (size_t i = 0, n = plain.size(); i < n; ++i)
        if (plain[i].first.starts_with("block1.")) plain.emplace_back("sub_" + plain[i].first, plain[i].second);
    write(in, plain);
    CHECK(recognise(WeightsFile::open(in))->text == std::string(c.model) + ", 7 classes");
    const auto want = contents(in);
    for (const char* other : c.others) {
      CAPTURE(other);
      Tensors renamed = plain;
      if (std::string(other) == "kuangliu") {
        rename(renamed, "^fc\\.", "linear.");
        rename(renamed, "downsample", "shortcut");
      }
      convert_weights(in, out, other);
      write(back, renamed);
      CHECK(contents(out) == contents(back));
      convert_weights(out, back, c.own);
      CHECK(contents(back) == want);
    }
    Tensors wrapped = plain;
    rename(wrapped, "^", "module.");
    write(out, wrapped);
    convert_weights(out, back, c.own);
    CHECK(contents(back) == want);
    const auto with_prefix = contents(out);
    convert_weights(back, out, c.own, {{}, "module."});
    CHECK(contents(out) == with_prefix);
    std::filesystem::remove(out);
    for (const char* refused : c.refused) CHECK_THROWS_AS(convert_weights(in, out, refused), Error);
    CHECK(!std::filesystem::exists(out));
  }
}

TEST_CASE("the stage that TRADES' WideResNets save and never run is passed over with a line, and nothing else is") {
  ResNetConfig config = testing::small_resnet_config(ResNetConfig::Kind::kPreAct);
  config.names = ResNetConfig::Names::kWide;
  const auto net = testing::random_model(config, 1);
  const Folder folder;
  const std::string file = folder / "in.safetensors";
  Tensors tensors = state_of(*net);
  const size_t own = tensors.size();
  for (size_t i = 0; i < own; ++i)
    if (tensors[i].first.starts_with("block1."))
      tensors.emplace_back("sub_" + tensors[i].first, Tensor::full(tensors[i].second.shape(), 9));
  tensors.emplace_back("sub_block1.layer.0.bn1.num_batches_tracked", Tensor::full({}, 5, DType::kI64));
  Tensors wrapped = tensors;
  rename(wrapped, "^", "module.");
  write_safetensors(file, wrapped);
  const auto fresh = config.build();
  const LoadReport report = load_weights(*fresh, file);
  REQUIRE(report.unexpected.size() == 1);
  CHECK(report.unexpected[0] ==
        fmt::format("sub_block1, {} tensors of layers that TRADES' code never runs", tensors.size() - own - 1));
  const auto a = state_of(*net), b = state_of(*fresh);
  for (size_t i = 0; i < a.size(); ++i) CHECK(same_bytes(a[i].second, b[i].second));

  wrapped.emplace_back("module.sub_block2.layer.0.bn1.weight", Tensor::zeros({3}));
  write_safetensors(file, wrapped);
  CHECK_THROWS_WITH_AS(load_weights(*fresh, file), doctest::Contains("sub_block2"), Error);
  config.names = ResNetConfig::Names::kPreAct;
  write_safetensors(file, {{"sub_block1.layer.0.bn1.weight", Tensor::zeros({3})}});
  CHECK_THROWS_WITH_AS(load_weights(*config.build(), file), doctest::Contains("sub_block1.layer.0.bn1.weight"), Error);
}

TEST_CASE("a convolutional net without its head is recognised and renamed, one with half a head is not") {
  const Folder folder;
  const std::string in = folder / "in.safetensors", out = folder / "out.safetensors", back = folder / "b.safetensors";
  for (const auto& [model, own, other] : {std::tuple{"resnet18_cifar", "torchvision", "kuangliu"},
                                          {"cifar_resnet20", "akamaster", "timm"},
                                          {"cifar_resnet20_b", "akamaster", "kuangliu"}}) {
    CAPTURE(model);
    const std::shared_ptr<Model> net = model_config(model)->build();
    Tensors half = bytes_of(*net), headless = half;
    std::erase_if(headless, [&](const auto& t) { return net->is_head(t.first); });
    std::erase_if(half, [&](const auto& t) { return t.first == net->head_path() + ".bias"; });
    write(in, headless);
    CHECK(recognise(WeightsFile::open(in))->text == std::string(model) + ", no head");
    CHECK(convert_weights(in, out, other).tensors == std::ssize(headless));
    convert_weights(out, back, own);
    CHECK(contents(back) == contents(in));
    write(in, half);
    CHECK(!recognise(WeightsFile::open(in)));
  }
}

}  // namespace taut::nn
