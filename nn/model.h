// What all models share: images in [0, 1] go in, logits come out, the head can be exchanged, and fine-tuning finds the
// places where it may put layers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "nn/layer.h"

namespace taut::nn {

class Model;

// How images become what a model was trained on; normalisation is the model's own.
struct ImageRecipe {
  enum class Resize { kNone, kStretch, kShortSide, kCentre };
  Resize resize = Resize::kStretch;
  bool bicubic = false;
  int64_t short_side = 0;  // 0: 256/224 of the image size
};

// What one layer costs for one image.
struct LayerCost {
  std::string path;
  Shape output;      // without the batch
  double flops = 0;  // 2 x multiply-adds
};

// The configuration of a model; each family has its own kind.
struct ModelConfig {
  virtual ~ModelConfig() = default;

  int64_t image_size = 224;
  int64_t channels = 3;
  int64_t classes = 1000;
  std::vector<double> mean = {0.5, 0.5, 0.5};  // per channel, applied inside the model
  std::vector<double> std = {0.5, 0.5, 0.5};
  ImageRecipe images;

  // Throws Error(kUsage) naming the field that does not fit.
  virtual void check() const;
  virtual std::shared_ptr<ModelConfig> clone() const = 0;
  // Zero-initialised (gains one); see nn/init.h and nn/weights.h.
  virtual std::shared_ptr<Model> build(DType dtype = DType::kF32) const = 0;
  virtual const char* family() const = 0;       // "vit", "resnet", ...
  virtual std::string description() const = 0;  // of the architecture but the classes, for the identity of a base
  // Linear layers, convolutions, QK^T and PV, in the order of the forward pass.
  virtual std::vector<LayerCost> layer_costs() const = 0;
  virtual int64_t parameter_count() const;
  // 2 x multiply-adds of all of them for one image: the convention of benchmarks.
  double forward_flops() const;
};

// A place of a model where fine-tuning may put a layer around or instead of the one that is there.
struct LayerSlot {
  // The linear layers of a transformer's block; a convolution; a linear layer of a convolutional net; the end of a
  // residual branch, before the sum, where there is no layer.
  enum class Kind { kQkv, kProj, kFc1, kFc2, kConv, kLinear, kBranchEnd };
  Kind kind;
  std::string path;              // "blocks.0.attn.qkv", "layer1.0.conv1"
  int64_t out;                   // features that leave it
  std::shared_ptr<Layer> layer;  // null at an end of a branch that is as it was built
  std::function<void(std::shared_ptr<Layer>)> replace;
};

class Model : public Module {
 public:
  virtual const ModelConfig& config() const = 0;
  DType dtype() const { return dtype_; }

  // How much it rounds on its way; throws Error(kUsage) for another precision than f32 of a net that is not f32. With
  // kBF16 activations are bf16 between the images and the features, and the frozen weights (those of two dimensions or
  // more) but the head's are stored so from now on; what trains stays f32. Call it when the strategy has been applied
  // and everything is loaded.
  void set_precision(Precision precision);

  // images (b, channels, image_size, image_size) in [0, 1] -> logits (b, classes). A residual net, whose last pooling
  // takes any map, accepts other heights and widths.
  Var forward(const Var& images) { return classify(features(images)); }
  // What the head sees, (b, head->in()), of the model's dtype whatever the precision: features_of of the images'
  // patches.
  Var features(const Var& images);
  // How images become patches, and features and logits of patches of images of this shape: an attack makes the patches
  // itself (attacks/attack.h).
  virtual ops::ImagePatches input() const = 0;
  virtual Var features_of(const Var& patches, const Shape& images) = 0;
  Var forward_of(const Var& patches, const Shape& images) { return classify(features_of(patches, images)); }
  Var classify(const Var& features) { return head->forward(features); }

  // The places in the order of the forward pass.
  virtual std::vector<LayerSlot> slots() const = 0;

  const std::string& head_path() const { return head_path_; }  // "head", "fc", ...
  bool is_head(const std::string& path) const { return path.starts_with(head_path_ + "."); }
  // A new head of `classes` outputs, weight N(0, 0.02), bias 0, drawn from `seed`.
  void reset_head(int64_t classes, uint64_t seed);

  std::shared_ptr<Linear> head;

 protected:
  Model(std::string head_path, DType dtype) : head_path_(std::move(head_path)), dtype_(dtype) {}
  virtual void set_classes(int64_t classes) = 0;
  // The dtype between the images and the features, and how features leave it.
  DType activations() const { return precision() == Precision::kBF16 ? DType::kBF16 : dtype_; }
  Var leave(const Var& features) const;
  // Registers the head under its path; the last child of a model.
  void add_head(int64_t inputs, int64_t classes);
  // Throws Error(kUsage) naming both shapes where images are not (b, channels, image_size, image_size).
  virtual void check_images(const Var& images) const;

 private:
  std::string head_path_;
  DType dtype_;
};

}  // namespace taut::nn
