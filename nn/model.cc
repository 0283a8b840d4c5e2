#include "nn/model.h"

#include "nn/init.h"

namespace taut::nn {

void ModelConfig::check() const {
  for (const auto& [field, value] :
       {std::pair{"image_size", image_size}, std::pair{"channels", channels}, std::pair{"classes", classes}})
    TAUT_CHECK(value >= 1, "[{}] expected {} >= 1, got {}", family(), field, value);
  TAUT_CHECK(std::ssize(mean) == channels && std::ssize(std) == channels,
             "[{}] expected mean and std for {} channels, got {} and {}", family(), channels, mean.size(), std.size());
  for (const double s : std) TAUT_CHECK(s > 0, "[{}] expected std > 0, got {}", family(), s);
}

int64_t ModelConfig::parameter_count() const { return build()->parameter_count(); }

double ModelConfig::forward_flops() const {
  double flops = 0;
  for (const LayerCost& layer : layer_costs()) flops += layer.flops;
  return flops;
}

void Model::set_precision(Precision precision) {
  TAUT_CHECK(dtype_ == DType::kF32 || precision == Precision::kF32,
             "[model.precision] expected a model in f32 for {}, got {}", name(precision), name(dtype_));
  pass_precision(precision);
  for (const NamedParameter& p : parameters()) {
    const bool rounds =
        precision == Precision::kBF16 && !p.var.requires_grad() && p.var.value().ndim() >= 2 && !is_head(p.path);
    const DType wanted = rounds ? DType::kBF16 : dtype_;
    if (Var var = p.var; var.dtype() != wanted) var.store_as(wanted);
  }
}

Var Model::features(const Var& images) {
  check_images(images);
  return features_of(ops::patchify(images, input()), images.shape());
}

Var Model::leave(const Var& features) const {
  return features.dtype() == dtype_ ? features : ops::cast(features, dtype_);
}

void Model::reset_head(int64_t classes, uint64_t seed) {
  const std::shared_ptr<ModelConfig> config = this->config().clone();
  config->classes = classes;
  config->check();
  set_classes(classes);
  auto fresh = std::make_shared<Linear>(head->in(), classes, dtype_);
  Tensor weight = fresh->weight.value();
  fill_normal(weight, 0.02, seed, head_path_ + ".weight");
  fresh->weight.set_requires_grad(head->weight.requires_grad());
  fresh->bias.set_requires_grad(head->bias.requires_grad());
  set_child(head_path_, head = std::move(fresh));
}

void Model::add_head(int64_t inputs, int64_t classes) {
  head = add_child(head_path_, std::make_shared<Linear>(inputs, classes, dtype_));
}

void Model::check_images(const Var& images) const {
  const ModelConfig& c = config();
  TAUT_CHECK(images.defined() && images.value().ndim() == 4 && images.size(1) == c.channels &&
                 images.size(2) == c.image_size && images.size(3) == c.image_size,
             "[{}] expected images (b, {}, {}, {}), got {}", c.family(), c.channels, c.image_size, c.image_size,
             images.defined() ? to_string(images.shape()) : "none");
}

}  // namespace taut::nn
