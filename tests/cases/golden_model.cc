#include "tests/cases/golden_model.h"

#include <cmath>
#include <limits>

#include "tests/cases/fill.h"

namespace taut::cases {

void fill_model(nn::Model& model, const std::vector<nn::NameEntry>& names, bool ia3) {
  for (const nn::NameEntry& e : names) {
    const Var parameter = model.parameter(e.path);
    Tensor value = parameter.value();  // shares memory with the model
    const Tensor fill = fill_parameter(e.external, e.shape, ia3);
    if (e.rows > 0)
      value.slice(0, e.row, e.rows).copy_from(fill.reshape(value.slice(0, e.row, e.rows).shape()));
    else
      value.copy_from(fill.reshape(value.shape()));
  }
}

void disturb(const GoldenCase& c, nn::Model& model) {
  if (c.disturbance() == 0) return;
  const double most = c.roundings() * std::numeric_limits<float>::epsilon() / 2;
  for (const auto& list : {model.parameters(), model.buffers()}) {
    for (const nn::NamedParameter& p : list) {
      Tensor value = p.var.value();  // shares memory with the model
      std::vector<double> values = value.to_doubles();
      const uint64_t hash = fnv1a(fmt::format("disturb:{}:{}", c.disturbance(), p.path));
      for (size_t i = 0; i < values.size(); ++i) {
        const double v = 2 * fill_unit(hash, static_cast<int64_t>(i)) - 1;
        values[i] *= 1 + most * v;
      }
      value.copy_from(Tensor::from(values, value.shape()));
    }
  }
}

Tensor part_of(const Tensor& whole, const nn::NameEntry& e) {
  return (e.rows > 0 ? whole.slice(0, e.row, e.rows) : whole).reshape(e.shape);
}

bool is_key_bias(const std::string& external) { return external.ends_with("attention.attention.key.bias"); }

double norm_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum);
}

nn::VitConfig hf_config(const nlohmann::json& arch, int64_t classes) {
  nn::VitConfig c;
  c.image_size = arch.at("image_size");
  c.patch = arch.at("patch_size");
  c.channels = arch.value("num_channels", int64_t{3});
  c.dim = arch.at("hidden_size");
  c.depth = arch.at("num_hidden_layers");
  c.heads = arch.at("num_attention_heads");
  c.mlp = arch.at("intermediate_size");
  c.classes = classes;
  c.eps = 1e-12;
  return c;
}

nn::VitConfig timm_config(const nlohmann::json& config) {
  nn::VitConfig c;
  c.image_size = config.at("img_size");
  c.patch = config.at("patch_size");
  c.channels = config.value("in_chans", int64_t{3});
  c.dim = config.at("embed_dim");
  c.depth = config.at("depth");
  c.heads = config.at("num_heads");
  c.mlp = std::llround(static_cast<double>(c.dim) * config.value("mlp_ratio", 4.0));
  c.classes = config.at("num_classes");
  c.eps = 1e-6;
  return c;
}

Shape shape_of(const nlohmann::json& shape) { return shape.get<Shape>(); }

}  // namespace taut::cases
