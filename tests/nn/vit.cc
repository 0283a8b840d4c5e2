// The ViT: what the class-token shortcut computes, shapes it refuses, weights it loads.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <regex>

#include "autograd/ops.h"
#include "nn/models.h"
#include "nn/optimizer.h"
#include "nn/weights.h"
#include "tensor/safetensors.h"
#include "tests/small_vit.h"

namespace taut::nn {
namespace {

using testing::random_images;
using testing::random_vit;
using testing::small_config;

// The textbook forward: every token through every block.
Var plain_forward(const Vit& vit, const Var& images) {
  const VitConfig& c = vit.config();
  const auto p = [&](const std::string& path) { return vit.parameter(path); };
  const auto linear = [&](const Var& x, const std::string& path) {
    return ops::linear(x, p(path + ".weight"), p(path + ".bias"));
  };
  const auto norm = [&](const Var& x, const std::string& path) {
    return ops::layer_norm(x, p(path + ".weight"), p(path + ".bias"), c.eps);
  };
  Var h = ops::assemble_tokens(linear(ops::patchify(images, c.patch, c.mean, c.std), "patch_embed.proj"),
                               p("cls_token"), p("pos_embed"));
  const int64_t b = images.size(0), t = c.tokens(), d = c.dim / c.heads;
  for (int64_t i = 0; i < c.depth; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".";
    const Var qkv = ops::reshape(linear(norm(h, block + "norm1"), block + "attn.qkv"), {b, t, 3, c.heads, d});
    const auto part = [&](int64_t k) {  // (b, heads, t, d)
      return ops::permute(ops::reshape(ops::slice(qkv, 2, k, 1), {b, t, c.heads, d}), {0, 2, 1, 3});
    };
    const Var scores =
        ops::softmax(ops::scale(ops::matmul(part(0), part(1), false, true), 1 / std::sqrt(static_cast<double>(d))));
    const Var mixed = ops::reshape(ops::permute(ops::matmul(scores, part(2)), {0, 2, 1, 3}), {b, t, c.dim});
    h = ops::add(h, linear(mixed, block + "attn.proj"));
    h = ops::add(h, linear(ops::gelu_erf(linear(norm(h, block + "norm2"), block + "mlp.fc1")), block + "mlp.fc2"));
  }
  return linear(ops::reshape(ops::slice(norm(h, "norm"), 1, 0, 1), {b, c.dim}), "head");
}

std::string temp_file(const char* name) { return (std::filesystem::temp_directory_path() / name).string(); }

void save_as(const std::string& file, const Vit& vit, NameStyle style, const std::string& prefix = "",
             const std::function<void(std::vector<std::pair<std::string, Tensor>>&)>& edit = {}) {
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const NameEntry& e : name_map(vit.config(), style)) {
    Tensor t = vit.parameter(e.path).value();
    if (e.rows > 0) t = t.slice(0, e.row, e.rows);
    tensors.emplace_back(prefix + e.external, t.reshape(e.shape));
  }
  if (edit) edit(tensors);
  write_safetensors(file, tensors);
}

}  // namespace

TEST_CASE("the class-token shortcut of the last block equals the textbook forward") {
  const VitConfig config = small_config();
  const NoGrad no_grad;
  for (const int64_t batch : {1, 3}) {
    const auto vit = random_vit(config, 1, DType::kF64);
    const Var x(random_images(config, batch, 2, DType::kF64));
    CHECK(testing::relative_difference(vit->forward(x).value(), plain_forward(*vit, x).value()) < 1e-12);
  }
  VitConfig one_block = config;
  one_block.depth = 1;
  const auto vit = random_vit(one_block, 1, DType::kF64);
  const Var x(random_images(config, 2, 2, DType::kF64));
  CHECK(testing::relative_difference(vit->forward(x).value(), plain_forward(*vit, x).value()) < 1e-12);
}

TEST_CASE("images of another shape are refused, naming both") {
  const auto vit = random_vit(small_config(), 1);
  CHECK_THROWS_WITH_AS(vit->forward(Var(Tensor::zeros({1, 3, 24, 16}))), doctest::Contains("(1, 3, 24, 16)"), Error);
}

TEST_CASE("models by name: FLOPs of the benchmark's convention, nearest name on a typo") {
  CHECK(vit_config("vit_base_patch16_224").forward_flops() == doctest::Approx(35.13e9).epsilon(0.001));
  CHECK(vit_config("vit_tiny_patch16_224").forward_flops() == doctest::Approx(2.51e9).epsilon(0.002));
  CHECK(Vit(vit_config("vit_tiny_patch16_224")).parameter_count() == 5717416);
  CHECK(Vit(vit_config("vit_large_patch32_384")).parameter_count() == 306632680);
  CHECK(Vit(vit_config("vit_base_patch16_224", "hf", 10)).parameter_count() == 86396938);
  CHECK_THROWS_WITH_AS(model_config("vit_bsae_patch16_224"), doctest::Contains("vit_base_patch16_224"), Error);
}

TEST_CASE("weights under timm's and Hugging Face's names, fused or split, with or without prefixes, load bit-equal") {
  const VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  const std::string file = temp_file("taut_test_weights.safetensors");
  const auto loads = [&] {
    Vit fresh(config);
    load_weights(fresh, file);
    const auto a = state_of(*vit), b = state_of(fresh);
    for (size_t i = 0; i < a.size(); ++i)
      if (!same_bytes(a[i].second, b[i].second)) return false;
    return true;
  };
  save_as(file, *vit, NameStyle::kTimm);
  CHECK(loads());
  save_as(file, *vit, NameStyle::kTimm, "module.");
  CHECK(loads());
  save_as(file, *vit, NameStyle::kHf);
  CHECK(loads());
  save_as(file, *vit, NameStyle::kHf, "", [](auto& tensors) {
    for (auto& [name, t] : tensors) name = std::regex_replace(name, std::regex("^vit\\."), "");
  });
  CHECK(loads());
  save_as(file, *vit, NameStyle::kTimm, "", [&](auto& tensors) {
    std::vector<std::pair<std::string, Tensor>> split;
    for (const auto& [name, t] : tensors) {
      const size_t at = name.find("attn.qkv.");
      if (at == std::string::npos) {
        split.emplace_back(name, t);
        continue;
      }
      for (int64_t i = 0; i < 3; ++i)
        split.emplace_back(name.substr(0, at) + "attn." + std::string(1, "qkv"[i]) + name.substr(at + 8),
                           t.slice(0, i * config.dim, config.dim).clone());
    }
    tensors = split;
  });
  CHECK(loads());
  std::filesystem::remove(file);
}

TEST_CASE("missing, unexpected and mis-shaped tensors are listed by name; patterns and a new head allow them") {
  const VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  const std::string file = temp_file("taut_test_strict.safetensors");
  const auto message_of = [&](const VitConfig& c, const LoadOptions& options) -> std::string {
    Vit fresh(c);
    const auto before = state_of(fresh);
    std::vector<Tensor> copies;
    for (const auto& [name, t] : before) copies.push_back(t.clone());
    try {
      load_weights(fresh, file, options);
    } catch (const Error& e) {
      CHECK(e.code() == Exit::kBadData);
      const auto after = state_of(fresh);
      for (size_t i = 0; i < after.size(); ++i) CHECK(same_bytes(after[i].second, copies[i]));
      return e.what();
    }
    return "";
  };
  save_as(file, *vit, NameStyle::kTimm, "", [](auto& tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.first == "blocks.1.mlp.fc2.bias"; });
    tensors.emplace_back("stray.weight", Tensor::zeros({2}));
    for (auto& [name, t] : tensors)
      if (name == "norm.weight") t = Tensor::zeros({3});
  });
  const std::string message = message_of(config, {});
  for (const char* part : {"taut_test_strict", "missing: blocks.1.mlp.fc2.bias", "unexpected: stray.weight",
                           "norm.weight (3) instead of (64)"})
    CHECK(message.find(part) != std::string::npos);
  save_as(file, *vit, NameStyle::kTimm, "", [](auto& tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.first == "blocks.1.mlp.fc2.bias"; });
    tensors.emplace_back("stray.weight", Tensor::zeros({2}));
  });
  CHECK(message_of(config, {.allow_missing = {"fc2\\.bias$"}, .allow_unexpected = {"^stray"}, .new_head = false})
            .empty());
  CHECK(
      message_of(config, {.allow_missing = {"fc2\\.bias$"}, .allow_unexpected = {}, .new_head = false}).find("stray") !=
      std::string::npos);

  VitConfig other = config;
  other.classes = 9;
  save_as(file, *vit, NameStyle::kTimm);
  CHECK(message_of(other, {}).find("head.weight (5, 64) instead of (9, 64)") != std::string::npos);
  Vit with_new_head(other);
  CHECK(
      !load_weights(with_new_head, file, {.allow_missing = {}, .allow_unexpected = {}, .new_head = true}).head_loaded);
  std::filesystem::remove(file);
}

TEST_CASE("another image size interpolates the position embedding, and a constant one stays constant") {
  VitConfig config = small_config();
  const auto vit = random_vit(config, 1);
  Tensor positions = vit->parameter("pos_embed").value();
  positions.fill(0.25);
  const std::string file = temp_file("taut_test_positions.safetensors");
  save_as(file, *vit, NameStyle::kTimm);
  config.image_size = 40;
  Vit larger(config);
  CHECK(load_weights(larger, file).positions_interpolated);
  for (const double v : larger.parameter("pos_embed").value().to_doubles())
    CHECK(v == doctest::Approx(0.25).epsilon(1e-6));
  std::filesystem::remove(file);
}

TEST_CASE("schedules: warm-up from 0, linear and half-cosine decay to 0") {
  const Schedule cosine{ScheduleKind::kCosine, 4, 12}, linear{ScheduleKind::kLinear, 0, 10};
  CHECK(cosine.factor(1) == 0);
  CHECK(cosine.factor(3) == 0.5);
  CHECK(cosine.factor(5) == 1);
  CHECK(cosine.factor(9) == doctest::Approx(0.5));
  CHECK(cosine.factor(13) == doctest::Approx(0.0));
  CHECK(linear.factor(1) == 1);
  CHECK(linear.factor(6) == doctest::Approx(0.5));
  CHECK(linear.factor(11) == 0);
}

TEST_CASE("training mode goes down the tree, frozen parameters thaw again") {
  const auto vit = random_vit(small_config(), 1);
  CHECK(!vit->training());
  vit->set_training(true);
  CHECK(vit->blocks[1]->mlp->fc1->training());
  vit->set_requires_grad(true);
  {
    const FrozenParameters frozen(*vit);
    CHECK(vit->trainable_parameter_count() == 0);
  }
  CHECK(vit->trainable_parameter_count() == vit->parameter_count());
  CHECK_THROWS_WITH_AS(vit->parameter("blocks.0.atn.qkv.weight"), doctest::Contains("blocks.0.attn.qkv.weight"), Error);
}

}  // namespace taut::nn
