// Golden cases of kinds `vit`, `resnet` and `peft`: logits, loss, image gradient and every parameter's gradient.
#include <algorithm>
#include <cmath>

#include "autograd/engine.h"
#include "autograd/ops.h"
#include "finetune/strategy.h"
#include "nn/models.h"
#include "tests/cases/fill.h"
#include "tests/cases/golden_model.h"

namespace taut::cases {
namespace {

// Up to 64 elements of the image gradient, evenly spaced.
std::vector<double> pick_evenly(const std::vector<double>& values) {
  const size_t step = std::max<size_t>(1, values.size() / 64);
  std::vector<double> picked;
  for (size_t i = 0; i < values.size() && picked.size() < 64; i += step) picked.push_back(values[i]);
  return picked;
}

// Eight elements at places drawn from the name.
struct Pick {
  std::vector<double> values;
  std::vector<size_t> places;
};
Pick pick(const std::string& name, const std::vector<double>& values) {
  Pick p;
  const uint64_t hash = fnv1a("pick:" + name);
  for (int64_t i = 0; i < 8; ++i) {
    p.places.push_back(static_cast<size_t>(std::floor(fill_unit(hash, i) * static_cast<double>(values.size()))));
    p.values.push_back(values[p.places.back()]);
  }
  return p;
}

void compare_gradient(GoldenCase& c, const std::string& name, const std::vector<double>& gradient) {
  const std::string norm = "grad_norm/" + name, picked = "grad_pick/" + name;
  Pick p = pick(name, gradient);
  if (is_key_bias(name)) {  // zero but for rounding, theirs and ours
    c.tensor(norm);
    c.tensor(picked);
    return;
  }
  const bool fused = name.ends_with("attn.qkv.bias");
  c.compare(norm, {norm_of(gradient)}, {1}, fused ? kGoldenKeyBiasNorm : kGoldenModel);
  if (!fused) return c.compare(picked, p.values, {8}, kGoldenModel);
  // The middle third is the key's.
  const std::vector<double> wanted = c.tensor(picked).to_doubles();
  for (size_t i = 0; i < p.values.size() && i < wanted.size(); ++i) {
    const size_t third = gradient.size() / 3;
    if (p.places[i] >= third && p.places[i] < 2 * third) p.values[i] = wanted[i];
  }
  c.compare(picked, p.values, {8}, kGoldenModel);
}

// Forward, loss and image gradient, compared; the gradients of `wanted` are returned.
Grads compare_pass(GoldenCase& c, nn::Model& model, const std::vector<Var>& wanted) {
  const Shape shape = shape_of(c.attrs().at("shape"));
  const Var images(unit(c.attrs().at("images"), shape).to(c.dtype()), true);
  const Tensor labels = c.tensor("labels");
  const Var logits = model.forward(images);
  const Var loss = ops::cross_entropy(logits, labels);
  c.compare("logits", logits.value(), kGoldenModel);
  c.compare("loss", {loss.value().item()}, {1}, kGoldenModel);
  std::vector<Var> inputs = wanted;
  inputs.push_back(images);
  Grads g = gradients(loss, inputs);
  const std::vector<double> image_gradient = g.back().to_doubles();
  g.pop_back();
  c.compare("grad_norm_input", {norm_of(image_gradient)}, {1}, kGoldenModel);
  if (c.has("grad_pick_input")) {
    const std::vector<double> picked = pick_evenly(image_gradient);
    c.compare("grad_pick_input", picked, {std::ssize(picked)}, kGoldenModel);
  }
  return g;
}

// Says which names only one side has.
void expect_same_names(GoldenCase& c, const std::vector<nn::NameEntry>& ours, const nlohmann::json& theirs) {
  std::set<std::string> names;
  for (const nn::NameEntry& e : ours) {
    names.insert(e.external);
    c.expect(theirs.contains(e.external), "the case has no parameter '{}'", e.external);
  }
  for (const auto& [name, value] : theirs.items()) c.expect(names.contains(name), "we have no parameter '{}'", name);
}

// The sizes of a plain ViT from its parameters' shapes; heads are in `config`, else of 64 as in every named model.
nn::VitConfig vit_config(const nlohmann::json& attrs, bool hf) {
  const nlohmann::json& names = attrs.at("names");
  const auto shape = [&](const char* timm, const char* theirs) { return shape_of(names.at(hf ? theirs : timm)); };
  const Shape patch = shape("patch_embed.proj.weight", "vit.embeddings.patch_embeddings.projection.weight");
  nn::VitConfig v;
  v.dim = patch.at(0);
  v.channels = patch.at(1);
  v.patch = patch.at(2);
  v.image_size = shape_of(attrs.at("shape")).at(2);
  v.mlp = shape("blocks.0.mlp.fc1.weight", "vit.encoder.layer.0.intermediate.dense.weight").at(0);
  v.classes = shape("head.weight", "classifier.weight").at(0);
  v.depth = 0;
  while (names.contains(fmt::format("{}.{}.{}", hf ? "vit.encoder.layer" : "blocks", v.depth,
                                    hf ? "intermediate.dense.bias" : "mlp.fc1.bias")))
    ++v.depth;
  v.pooler = names.contains("vit.pooler.dense.weight");
  v.eps = attrs.at("eps");
  v.mean = attrs.at("mean").get<std::vector<double>>();
  v.std = attrs.at("std").get<std::vector<double>>();
  v.heads = v.dim / 64;
  if (attrs.contains("config")) v.heads = attrs.at("config").at(hf ? "num_attention_heads" : "num_heads");
  return v;
}

}  // namespace

namespace {

// A plain model filled by its names: `names` are its parameters, those of `buffers` are filled, too.
void compare_plain(GoldenCase& c, nn::Model& model, const std::vector<nn::NameEntry>& names,
                   const std::vector<nn::NameEntry>& buffers) {
  expect_same_names(c, names, c.attrs().at("names"));
  const int64_t parameters = c.attrs().at("parameters");
  c.expect(model.parameter_count() == parameters, "expected {} parameters, got {}", parameters,
           model.parameter_count());
  model.set_training(c.attrs().at("training"));
  model.set_requires_grad(true);
  std::vector<Var> wanted;
  for (const nn::NameEntry& e : names) {
    const Shape theirs = shape_of(c.attrs().at("names").at(e.external));
    c.expect(theirs == e.shape, "{}: expected shape {}, got {}", e.external, to_string(theirs), to_string(e.shape));
    wanted.push_back(model.parameter(e.path));
  }
  fill_model(model, names, false);
  fill_model(model, buffers, false);
  disturb(c, model);
  const Grads g = compare_pass(c, model, wanted);
  for (size_t i = 0; i < names.size(); ++i) {
    if (!g[i].defined())
      c.expect(!c.has("grad_norm/" + names[i].external), "{} got no gradient", names[i].external);
    else
      compare_gradient(c, names[i].external, part_of(g[i], names[i]).to_doubles());
  }
}

}  // namespace

void run_golden_vit(GoldenCase& c) {
  const std::string style = c.attrs().at("names_style");
  if (style != "timm" && style != "hf") return c.unsupported(fmt::format("names_style '{}' is not known", style));
  const nn::VitConfig config = vit_config(c.attrs(), style == "hf");
  c.run_model(
      [&] {
        nn::Vit vit(config, c.dtype());
        compare_plain(c, vit, nn::name_map(config, style == "hf" ? nn::NameStyle::kHf : nn::NameStyle::kTimm), {});
      },
      false);
}

void run_golden_resnet(GoldenCase& c) {
  const std::string name = c.attrs().at("model");
  const std::vector<std::string> known = nn::model_names();
  if (std::find(known.begin(), known.end(), name) == known.end())
    return c.unsupported(fmt::format("model '{}' is not known", name));
  const auto config = nn::model_config(name);
  const std::string head = config->build(c.dtype())->head_path();
  const Shape shape = shape_of(c.attrs().at("shape"));
  config->classes = shape_of(c.attrs().at("names").at(head + ".bias")).at(0);
  config->channels = shape.at(1);
  config->image_size = std::min(shape.at(2), shape.at(3));
  config->mean = c.attrs().at("mean").get<std::vector<double>>();
  config->std = c.attrs().at("std").get<std::vector<double>>();
  c.run_model(
      [&] {
        const auto model = config->build(c.dtype());
        std::vector<nn::NameEntry> parameters, buffers;
        for (const nn::NamedParameter& p : model->parameters()) parameters.push_back({p.path, p.path, p.var.shape()});
        for (const nn::NamedBuffer& b : model->buffers()) buffers.push_back({b.path, b.path, b.var.shape()});
        compare_plain(c, *model, parameters, buffers);
      },
      true);
}

namespace {

// What a strategy's options must be for the shapes of a case.
finetune::StrategyOptions options_of(const nlohmann::json& names) {
  finetune::StrategyOptions options;
  for (const auto& [name, value] : names.items()) {
    const Shape shape = shape_of(value.at("shape"));
    if (name.ends_with(".loras.lora.lora_A")) options.rank = shape.at(0);
    if (name.ends_with(".adapter_down.0.bias") || name.ends_with(".adapter_down.0.b")) options.bottleneck = shape.at(0);
    if (name.ends_with(".adapter_down.0.W_left")) options.phm_rank = shape.at(2);
    if (name.ends_with(".phm_rule")) options.phm_n = shape.at(0);
  }
  return options;
}

void compare_peft(GoldenCase& c) {
  const nlohmann::json& attrs = c.attrs();
  nn::VitConfig config = hf_config(attrs.at("arch"), attrs.at("classes"));
  config.pooler = true;
  const std::string strategy_name = attrs.at("strategy");
  const finetune::Strategy& strategy = finetune::strategy(strategy_name);
  const finetune::StrategyOptions options = options_of(attrs.at("names"));
  nn::Vit vit(config, c.dtype());
  strategy.apply(vit, options, 0);
  const auto names = finetune::adapterhub_names(config, strategy, options);
  expect_same_names(c, names, attrs.at("names"));
  fill_model(vit, names, true);
  disturb(c, vit);

  const int64_t total = attrs.at("total"), trainable = attrs.at("trainable");
  c.expect(vit.parameter_count() == total, "expected {} parameters, got {}", total, vit.parameter_count());
  c.expect(vit.trainable_parameter_count() == trainable, "expected {} trainable parameters, got {}", trainable,
           vit.trainable_parameter_count());
  std::vector<Var> wanted;
  std::vector<nn::NameEntry> of_wanted;
  for (const nn::NameEntry& e : names) {
    const nlohmann::json& theirs = attrs.at("names").at(e.external);
    const Var parameter = vit.parameter(e.path);
    c.expect(shape_of(theirs.at("shape")) == e.shape, "{}: expected shape {}, got {}", e.external,
             theirs.at("shape").dump(), to_string(e.shape));
    c.expect(theirs.at("trainable").get<bool>() == parameter.requires_grad(), "{}: expected trainable {}", e.external,
             theirs.at("trainable").dump());
    if (!parameter.requires_grad()) continue;
    wanted.push_back(parameter);
    of_wanted.push_back(e);
  }
  const Grads g = compare_pass(c, vit, wanted);
  for (size_t i = 0; i < of_wanted.size(); ++i) {
    const std::string& name = of_wanted[i].external;
    const bool has = attrs.at("names").at(name).at("grad");
    c.expect(g[i].defined() == has, "{}: expected {} gradient", name, has ? "a" : "no");
    if (has && g[i].defined()) compare_gradient(c, name, part_of(g[i], of_wanted[i]).to_doubles());
  }
}

}  // namespace

void run_golden_peft(GoldenCase& c) {
  c.run_model([&] { compare_peft(c); }, false);
}

}  // namespace taut::cases
