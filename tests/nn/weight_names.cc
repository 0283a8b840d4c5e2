// Names of other libraries: Google's arrays, what is recognised, and conversion without a changed bit.
#include <doctest/doctest.h>

#include <filesystem>
#include <regex>

#include "kernels/arena.h"
#include "nn/convert.h"
#include "nn/models.h"
#include "nn/recognise.h"
#include "tensor/npz_writer.h"
#include "tensor/safetensors.h"
#include "tensor/weights_file.h"
#include "tests/small_vit.h"
#include "tests/weight_files.h"

namespace taut::nn {
namespace {

using testing::contents;
using testing::random_vit;
using testing::rename;
using testing::small_config;
using testing::temp;
using testing::Tensors;
using testing::tensors_of;
bool loads_equal(const std::string& file, const Vit& vit) {
  Vit fresh(vit.config());
  load_weights(fresh, file);
  const auto a = state_of(vit), b = state_of(fresh);
  for (size_t i = 0; i < a.size(); ++i)
    if (!same_bytes(a[i].second, b[i].second)) return false;
  return true;
}

// The blocks' tensors as one with a leading axis, as big_vision's scanned models save them.
Tensors stacked(const Tensors& tensors, int64_t depth) {
  Tensors out;
  const std::regex block("encoderblock_([0-9]+)/");
  std::map<std::string, Tensor> stacks;
  for (const auto& [name, t] : tensors) {
    std::smatch match;
    if (!std::regex_search(name, match, block)) {
      out.emplace_back(name, t);
      continue;
    }
    Tensor& stack = stacks[match.prefix().str() + "encoderblock/" + match.suffix().str()];
    Shape shape = t.shape();
    shape.insert(shape.begin(), depth);
    if (!stack.defined()) stack = Tensor::empty(shape);
    stack.slice(0, std::stoll(match[1]), 1).copy_from(t.contiguous().reshape([&] {
      Shape one = shape;
      one[0] = 1;
      return one;
    }()));
  }
  for (const auto& [name, t] : stacks) out.emplace_back(name, t);
  return out;
}

}  // namespace

TEST_CASE("Google's kernels are ours transposed, with heads apart") {
  const VitConfig c = small_config();
  const auto vit = random_vit(c, 1);
  std::map<std::string, Tensor> google;
  for (const auto& [name, t] : tensors_of(*vit, NameStyle::kGoogle)) google[name] = t.contiguous();
  const auto at = [](const Tensor& t, std::vector<int64_t> index) {
    Tensor view = t;
    for (const int64_t i : index) {
      view = view.slice(0, i, 1);
      view = view.reshape(Shape(view.shape().begin() + 1, view.shape().end()));
    }
    return view.item();
  };
  const int64_t per_head = c.dim / c.heads;
  const std::string block = "Transformer/encoderblock_1/", attention = block + "MultiHeadDotProductAttention_1/";
  const Tensor qkv = vit->parameter("blocks.1.attn.qkv.weight").value();
  CHECK(google.at(attention + "key/kernel").shape() == Shape{c.dim, c.heads, per_head});
  CHECK(at(google.at(attention + "key/kernel"), {5, 2, 3}) == at(qkv, {c.dim + 2 * per_head + 3, 5}));
  CHECK(at(google.at(attention + "value/bias"), {3, 1}) ==
        at(vit->parameter("blocks.1.attn.qkv.bias").value(), {2 * c.dim + 3 * per_head + 1}));
  CHECK(at(google.at(attention + "out/kernel"), {1, 7, 9}) ==
        at(vit->parameter("blocks.1.attn.proj.weight").value(), {9, per_head + 7}));
  CHECK(at(google.at(block + "MlpBlock_3/Dense_0/kernel"), {4, 80}) ==
        at(vit->parameter("blocks.1.mlp.fc1.weight").value(), {80, 4}));
  CHECK(at(google.at("embedding/kernel"), {6, 5, 2, 11}) ==
        at(vit->parameter("patch_embed.proj.weight").value().reshape({c.dim, c.channels, c.patch, c.patch}),
           {11, 2, 6, 5}));
  CHECK(at(google.at("head/kernel"), {60, 4}) == at(vit->parameter("head.weight").value(), {4, 60}));
  CHECK(google.contains("Transformer/posembed_input/pos_embedding"));
  CHECK(google.contains("Transformer/encoder_norm/scale"));
}

TEST_CASE("Google's .npz loads bit-equal in the paper's and big_vision's spelling, blocks apart or stacked") {
  const VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  const std::string file = temp("taut_test_google.npz");
  const auto loads = [&](const Tensors& tensors) {
    write_npz(file, tensors);
    return loads_equal(file, *vit);
  };
  const Tensors paper = tensors_of(*vit, NameStyle::kGoogle);
  CHECK(loads(paper));
  Tensors target = paper;
  rename(target, "^", "opt/target/");
  CHECK(loads(target));
  Tensors big_vision = paper;
  rename(big_vision, "MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0");
  rename(big_vision, "LayerNorm_2", "LayerNorm_1");
  rename(big_vision, "MlpBlock_3", "MlpBlock_0");
  rename(big_vision, "Transformer/posembed_input/pos_embedding", "pos_embedding");
  rename(big_vision, "^", "params/img/");
  CHECK(loads(big_vision));
  CHECK(loads(stacked(big_vision, config.depth)));
  CHECK(recognise(WeightsFile::open(file))->vit->depth == config.depth);
  VitConfig shallow = config;
  shallow.depth = config.depth - 1;
  Vit fewer(shallow);
  CHECK_THROWS_WITH_AS(
      load_weights(fewer, file),
      doctest::Contains(fmt::format("stacks {} blocks, expected {}", config.depth, shallow.depth).c_str()), Error);

  // A layer before the head is part of the function unless the head is made anew.
  Tensors with_pre_logits = paper;
  with_pre_logits.emplace_back("pre_logits/kernel", Tensor::zeros({config.dim, config.dim}));
  with_pre_logits.emplace_back("pre_logits/bias", Tensor::zeros({config.dim}));
  write_npz(file, with_pre_logits);
  Vit fresh(config);
  CHECK_THROWS_WITH_AS(load_weights(fresh, file), doctest::Contains("pre_logits/kernel"), Error);
  VitConfig other = config;
  other.classes = 9;
  Vit with_new_head(other);
  const LoadReport report =
      load_weights(with_new_head, file, {.allow_missing = {}, .allow_unexpected = {}, .new_head = true});
  CHECK((!report.head_loaded && report.head_in_file));
  CHECK(report.unexpected.size() == 2);
  std::filesystem::remove(file);
}

TEST_CASE("a Hugging Face backbone without classifier, with a pooler, loads under a new head") {
  const VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  const std::string file = temp("taut_test_backbone.safetensors");
  Tensors tensors = tensors_of(*vit, NameStyle::kHf);
  std::erase_if(tensors, [](const auto& t) { return t.first.starts_with("classifier."); });
  rename(tensors, "^vit\\.", "");
  tensors.emplace_back("pooler.dense.weight", Tensor::zeros({config.dim, config.dim}));
  write_safetensors(file, tensors);
  Vit fresh(config);
  const LoadReport report = load_weights(fresh, file, {.allow_missing = {}, .allow_unexpected = {}, .new_head = true});
  CHECK((!report.head_loaded && !report.head_in_file));
  CHECK(report.unexpected == std::vector<std::string>{"pooler.dense.weight"});
  CHECK_THROWS_WITH_AS(load_weights(fresh, file), doctest::Contains("classifier.weight"), Error);
  CHECK(recognise(WeightsFile::open(file))->text == "hf names, ViT of width 64, 2 blocks, patch 8 at 16, no head");
  std::filesystem::remove(file);
}

TEST_CASE("conversion goes around through all names without a changed bit, and keeps types") {
  const auto vit = random_vit(small_config(), 1);
  const std::string a = temp("taut_test_a.safetensors"), b = temp("taut_test_b.safetensors"),
                    c = temp("taut_test_c.npz"), d = temp("taut_test_d.safetensors");
  Tensors tensors = tensors_of(*vit, NameStyle::kTimm);
  std::map<std::string, std::string> halves;  // F16, whatever the bits say
  for (auto& [name, t] : tensors) {
    if (name.find("blocks.1.attn") == std::string::npos && name != "norm.bias") continue;
    t = t.to(DType::kBF16);
    halves[name] = "F16";
  }
  write_safetensors(a, tensors, {}, halves);
  const ConvertReport report = convert_weights(a, b, "hf");
  CHECK(report.recognised == "timm names, ViT of width 64, 2 blocks, patch 8 at 16, 5 classes");
  CHECK(report.tensors == 8 + 2 * 16);
  CHECK(contents(b).at("vit.encoder.layer.1.attention.attention.key.bias").starts_with("F16(64)"));
  convert_weights(b, d, "timm");
  CHECK(contents(d) == contents(a));
  convert_weights(b, c, "google");
  convert_weights(c, d, "timm");
  CHECK(contents(d) == contents(a));
  for (const std::string& file : {a, b, c, d}) std::filesystem::remove(file);
}

TEST_CASE("conversion names what is missing, unknown or cannot be written") {
  const auto vit = random_vit(small_config(), 1);
  const std::string in = temp("taut_test_in.safetensors"), out = temp("taut_test_out.safetensors");
  const Tensors tensors = tensors_of(*vit, NameStyle::kTimm);
  const auto refuses = [&](const Tensors& t, const char* word, const ConvertOptions& options = {}) {
    write_safetensors(in, t);
    CHECK_THROWS_WITH_AS(convert_weights(in, out, "hf", options), doctest::Contains(word), Error);
    CHECK(!std::filesystem::exists(out));
  };
  Tensors stray = tensors;
  stray.emplace_back("extra.weight", Tensor::zeros({3}));
  refuses(stray, "1 unknown: extra.weight; hint: --drop REGEX");
  // The net stays what the rest of the file says, whichever tensor is missing.
  for (const char* name : {"blocks.1.norm2.bias", "blocks.1.norm1.weight", "blocks.0.norm1.weight"}) {
    Tensors missing = tensors;
    std::erase_if(missing, [&](const auto& t) { return t.first == name; });
    refuses(missing, (std::string("2 blocks, patch 8 at 16, 5 classes does not fit; 1 missing: ") + name).c_str());
  }
  Tensors misshaped = tensors;
  for (auto& [name, t] : misshaped)
    if (name == "norm.weight") t = Tensor::zeros({7});
  refuses(misshaped, "norm.weight (7) instead of (64)");
  refuses({{"weight", Tensor::zeros({3})}}, "expected the tensors of a ViT");

  write_safetensors(in, stray);
  CHECK(convert_weights(in, out, "hf", {{"^extra"}}).dropped == std::vector<std::string>{"extra.weight"});
  CHECK(loads_equal(out, *vit));
  CHECK_THROWS_WITH_AS(convert_weights(in, temp("x.bin"), "hf"), doctest::Contains(".safetensors"), Error);
  CHECK_THROWS_WITH_AS(convert_weights(in, temp("x.npz"), "hf"), doctest::Contains("google"), Error);
  for (const std::string& file : {in, out}) std::filesystem::remove(file);
}

TEST_CASE("what is recognised and would not convert says so") {
  const std::string file = temp("taut_test_fit.safetensors");
  const auto said = [&](const Tensors& tensors) {
    write_safetensors(file, tensors);
    const WeightsFile opened = WeightsFile::open(file);
    return what_does_not_fit(opened, recognise(opened).value());
  };
  const Tensors tensors = tensors_of(*random_vit(small_config(), 1), NameStyle::kTimm);
  CHECK(said(tensors) == "");
  Tensors scaled = tensors;
  for (const char* name : {"blocks.0.ls1.gamma", "blocks.0.attn.q_norm.weight", "norm_pre.weight", "fc_norm.weight"})
    scaled.emplace_back(name, Tensor::zeros({64}));
  for (const char* part : {"LayerScale", "qk-norm", "the norm before the blocks", "the norm after average pooling"})
    CHECK(said(scaled).find(fmt::format("; 1 of {}, a part of the function", part)) != std::string::npos);
  Tensors no_bias = tensors;
  std::erase_if(no_bias, [](const auto& t) { return t.first.ends_with("qkv.bias"); });
  CHECK(said(no_bias) == ", which the file does not fit; 2 missing: blocks.0.attn.qkv.bias, blocks.1.attn.qkv.bias");

  Tensors net;
  for (const auto& [path, t] : state_of(*model_config("preact_resnet18")->build())) net.emplace_back(path, t);
  net.emplace_back("bn1.num_batches_tracked", Tensor::zeros({}, DType::kI64));
  CHECK(said(net) == "");
  net.emplace_back("bn.weight", Tensor::zeros({512}));  // RobustBench's
  CHECK(said(net) == ", which the file does not fit; 1 unknown: bn.weight");
  std::filesystem::remove(file);
}

TEST_CASE("a pattern to drop leaves something out, or is refused with the reason") {
  const auto vit = random_vit(small_config(), 1);
  const std::string in = temp("taut_test_drop.safetensors"), out = temp("taut_test_drop_out.safetensors");
  Tensors tensors = tensors_of(*vit, NameStyle::kTimm);
  const auto refuses = [&](const std::vector<std::string>& drop, Exit code, const char* word) {
    CAPTURE(word);
    write_safetensors(in, tensors);
    try {
      convert_weights(in, out, "hf", {drop});
      FAIL("nothing was refused");
    } catch (const Error& e) {
      CHECK(e.code() == code);
      CHECK_MESSAGE(std::string(e.what()).find(word) != std::string::npos, e.what());
    }
    CHECK(!std::filesystem::exists(out));
  };
  refuses({"["}, Exit::kUsage, "[--drop] expected a regular expression, got '['");
  refuses({"head"}, Exit::kUsage,
          "[--drop] 'head' leaves nothing out: it matches head.bias, which the net has a place");
  refuses({"blocks.3"}, Exit::kUsage, "[--drop] 'blocks.3' leaves nothing out: it matches no tensor of");
  tensors.emplace_back("extra", Tensor::zeros({3}));
  refuses({"extra", "exrta"}, Exit::kUsage, "'exrta' leaves nothing out");

  // What belongs to the function of timm's other ViTs is not to be left out.
  for (const char* part : {"blocks.0.ls1.gamma", "blocks.1.ls2.gamma", "fc_norm.weight", "blocks.0.attn.q_norm.weight",
                           "blocks.0.attn.k_norm.bias", "norm_pre.weight"}) {
    CAPTURE(part);
    tensors.back() = {part, Tensor::zeros({64})};
    refuses({}, Exit::kBadData, "a part of the function that this ViT does not compute: ");
    refuses({"."}, Exit::kUsage, "'.' leaves nothing out");
    refuses({std::string(part).substr(3)}, Exit::kUsage,
            "a part of the function that this ViT does not compute; without");
    Vit fresh(vit->config());
    CHECK_THROWS_WITH_AS(load_weights(fresh, in), doctest::Contains("a part of the function"), Error);
    try {
      convert_weights(in, out, "timm");
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find("--drop") == std::string::npos);
    }
  }
  std::filesystem::remove(in);
}

TEST_CASE("convolutional nets are recognised by their shapes, and lose their prefixes, not their counters") {
  const std::string in = temp("taut_test_net.safetensors"), out = temp("taut_test_net_out.safetensors");
  const std::shared_ptr<ModelConfig> config = model_config("cifar_resnet20", "timm", 7);
  const std::shared_ptr<Model> net = config->build();
  init_model(*net, 3);
  Tensors tensors = state_of(*net), wrapped = tensors;
  tensors.emplace_back("bn1.num_batches_tracked", Tensor::full({}, 5, DType::kI64));
  wrapped.emplace_back("bn1.num_batches_tracked", Tensor::full({}, 5, DType::kI64));
  rename(wrapped, "^", "module.");
  write_safetensors(out, tensors);
  const auto plain = contents(out);
  write_safetensors(in, wrapped);
  CHECK(recognise(WeightsFile::open(in))->text == "cifar_resnet20, 7 classes");
  CHECK(convert_weights(in, out, "torchvision").tensors == std::ssize(tensors));
  CHECK(contents(out) == plain);
  Tensors compiled = wrapped;
  rename(compiled, "^", "_orig_mod.");  // torch.compile's
  write_safetensors(in, compiled);
  convert_weights(in, out, "torchvision");
  CHECK(contents(out) == plain);
  write_safetensors(in, wrapped);
  CHECK_THROWS_WITH_AS(convert_weights(in, out, "hf"), doctest::Contains("torchvision"), Error);
  wrapped.emplace_back("module.aux.weight", Tensor::zeros({2}));
  write_safetensors(in, wrapped);
  CHECK_THROWS_WITH_AS(convert_weights(in, out, "torchvision"), doctest::Contains("module.aux.weight"), Error);
  for (const std::string& file : {in, out}) std::filesystem::remove(file);
}

TEST_CASE("akamaster's ResNets with projections (option B) load with and without DataParallel's prefix") {
  const std::string file = temp("taut_test_option_b.safetensors");
  const std::shared_ptr<Model> net = model_config("cifar_resnet20_b")->build(),
                               fresh = model_config("cifar_resnet20_b")->build();
  CHECK(net->parameter("layer2.0.shortcut.0.weight").shape() == Shape{32, 16, 1, 1});
  CHECK(net->parameter("layer3.0.shortcut.1.running_var").shape() == Shape{64});
  for (const char* prefix : {"", "module."}) {
    CAPTURE(prefix);
    init_model(*net, 3);
    init_model(*fresh, 4);
    Tensors tensors = state_of(*net);
    rename(tensors, "^", prefix);
    write_safetensors(file, tensors);
    load_weights(*fresh, file);
    const auto want = state_of(*net), got = state_of(*fresh);
    for (size_t i = 0; i < want.size(); ++i) CHECK(same_bytes(got[i].second, want[i].second));
  }
  std::filesystem::remove(file);
}

TEST_CASE("a file with a net's number of layers and nothing in them takes no memory of that net's size") {
  const std::string file = temp("taut_test_layers.safetensors");
  std::vector<std::pair<std::string, Tensor>> layers;  // as many as a ResNet-152 has
  for (int i = 0; i < 156; ++i) layers.emplace_back(fmt::format("layer{}.weight", i), Tensor::zeros({1, 1, 1, 1}));
  write_safetensors(file, layers);
  const WeightsFile opened = WeightsFile::open(file);
  reset_arena_peak();
  const int64_t before = arena_stats().peak;
  CHECK(!recognise(opened));
  CHECK(arena_stats().peak - before < 1 << 20);
  std::filesystem::remove(file);
}

TEST_CASE("sizes that are known are called by their name") {
  VitConfig c;
  c.depth = 12;
  const std::string file = temp("taut_test_tiny.safetensors");
  write_safetensors(file, tensors_of(Vit(c), NameStyle::kTimm));
  const Recognised r = *recognise(WeightsFile::open(file));
  CHECK(r.text == "timm names, ViT-Ti/16 at 224, 1000 classes");
  CHECK(r.vit->heads == 3);
  write_safetensors(file, {{"conv1.weight", Tensor::zeros({3, 3, 3, 3})}});
  CHECK(!recognise(WeightsFile::open(file)));
  std::filesystem::remove(file);
}

}  // namespace taut::nn
