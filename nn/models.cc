#include "nn/models.h"

#include "nn/resnet.h"
#include "nn/small_nets.h"
#include "tensor/nearest.h"

namespace taut::nn {
namespace {

const std::vector<double> kImageNetMean = {0.485, 0.456, 0.406}, kImageNetStd = {0.229, 0.224, 0.225};
const std::vector<double> kCifarMean = {0.4914, 0.4822, 0.4465}, kCifarStd = {0.2471, 0.2435, 0.2616};

struct Size {
  const char* name;
  int64_t dim, depth, heads;
};
constexpr Size kSizes[] = {{"tiny", 192, 12, 3}, {"small", 384, 12, 6}, {"base", 768, 12, 12}, {"large", 1024, 24, 16}};

std::string vit_name(const Size& size, int64_t patch, int64_t image) {
  return std::string("vit_") + size.name + "_patch" + std::to_string(patch) + "_" + std::to_string(image);
}

VitConfig sized_vit(const Size& size, int64_t patch, int64_t image) {
  VitConfig c;
  c.image_size = image;
  c.patch = patch;
  c.dim = size.dim;
  c.depth = size.depth;
  c.heads = size.heads;
  c.mlp = 4 * size.dim;
  return c;
}

// ImageNet's statistics, which DeiT (Touvron et al., 2021) was trained with.
VitConfig deit_tiny() {
  VitConfig c = sized_vit(kSizes[0], 16, 224);
  c.mean = kImageNetMean;
  c.std = kImageNetStd;
  c.images = {.resize = ImageRecipe::Resize::kShortSide, .bicubic = true};
  return c;
}

// The demo's net: grey 24 x 24 images, 104,064 parameters without the head.
VitConfig demo() {
  VitConfig c;
  c.image_size = 24;
  c.patch = 4;
  c.channels = 1;
  c.dim = 64;
  c.depth = 3;
  c.heads = 4;
  c.mlp = 128;
  c.classes = 100;
  c.mean = {0.5};
  c.std = {0.5};
  c.images.resize = ImageRecipe::Resize::kCentre;
  return c;
}

// ImageNet's, as torchvision trained them: a short side of 256, a crop of 224, bilinear.
ResNetConfig torchvision_resnet(ResNetConfig::Kind kind, std::vector<int64_t> depths) {
  ResNetConfig c;
  c.kind = kind;
  c.depths = std::move(depths);
  c.mean = kImageNetMean;
  c.std = kImageNetStd;
  c.images.resize = ImageRecipe::Resize::kShortSide;
  return c;
}

// The stem of nets for images of 32 pixels a side, ten classes.
ResNetConfig small_images(ResNetConfig c) {
  c.image_size = 32;
  c.classes = 10;
  c.large_stem = false;
  c.mean = kCifarMean;
  c.std = kCifarStd;
  return c;
}

// depth = 6 n + 2; normalised with ImageNet's statistics, as the published weights were. Those have option A in their
// shortcuts, zero padding; option B has projections.
ResNetConfig cifar_resnet(int64_t depth, ResNetConfig::Shortcut shortcut) {
  const int64_t n = (depth - 2) / 6;
  ResNetConfig c = small_images({});
  c.names = ResNetConfig::Names::kAkamaster;
  c.shortcut = shortcut;
  c.stem = 16;
  c.planes = {16, 32, 64};
  c.depths = {n, n, n};
  c.mean = kImageNetMean;
  c.std = kImageNetStd;
  return c;
}

// depth = 6 n + 4, ten times as wide; sees plain [0, 1].
ResNetConfig wide_resnet(int64_t depth) {
  const int64_t n = (depth - 4) / 6;
  ResNetConfig c = small_images({});
  c.kind = ResNetConfig::Kind::kPreAct;
  c.names = ResNetConfig::Names::kWide;
  c.stem = 16;
  c.planes = {160, 320, 640};
  c.depths = {n, n, n};
  c.mean = {0, 0, 0};
  c.std = {1, 1, 1};
  return c;
}

ResNetConfig preact_resnet18() {
  ResNetConfig c = small_images({});
  c.kind = ResNetConfig::Kind::kPreAct;
  c.names = ResNetConfig::Names::kPreAct;
  return c;
}

struct Named {
  std::string name;
  std::shared_ptr<const ModelConfig> config;
};

const std::vector<Named>& models() {
  static const std::vector<Named> all = [] {
    using Kind = ResNetConfig::Kind;
    std::vector<Named> list;
    const auto add = [&](const std::string& name, const ModelConfig& config) {
      list.push_back({name, config.clone()});
    };
    for (const Size& size : kSizes)
      for (const int64_t patch : {16, 32})
        for (const int64_t image : {224, 384}) add(vit_name(size, patch, image), sized_vit(size, patch, image));
    add("deit_tiny_patch16_224", deit_tiny());
    add("vit_demo", demo());
    add("resnet18", torchvision_resnet(Kind::kBasic, {2, 2, 2, 2}));
    add("resnet34", torchvision_resnet(Kind::kBasic, {3, 4, 6, 3}));
    add("resnet50", torchvision_resnet(Kind::kBottleneck, {3, 4, 6, 3}));
    add("resnet101", torchvision_resnet(Kind::kBottleneck, {3, 4, 23, 3}));
    add("resnet152", torchvision_resnet(Kind::kBottleneck, {3, 8, 36, 3}));
    add("resnet18_cifar", small_images({}));
    for (const auto& [option, shortcut] :
         {std::pair{"", ResNetConfig::Shortcut::kZeroPadding}, std::pair{"_b", ResNetConfig::Shortcut::kProjection}})
      for (const int64_t depth : {20, 32, 44, 56, 110})
        add(fmt::format("cifar_resnet{}{}", depth, option), cifar_resnet(depth, shortcut));
    for (const int64_t depth : {28, 34}) add(fmt::format("wide_resnet{}_10", depth), wide_resnet(depth));
    add("preact_resnet18", preact_resnet18());
    add("vnncomp_resnet2b", vnncomp_resnet_2b());
    add("vnncomp_resnet4b", vnncomp_resnet_4b());
    add("trades_small_cnn", SmallCnnConfig());
    return list;
  }();
  return all;
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Named& m : models()) names.push_back(m.name);
  return names;
}

std::shared_ptr<ModelConfig> model_config(const std::string& name, const std::string& flavour, int64_t classes) {
  TAUT_CHECK(flavour == "timm" || flavour == "hf", "[model.flavour] expected timm or hf, got '{}'", flavour);
  TAUT_CHECK(classes >= 0, "[model.classes] expected a number of classes >= 1, got {}", classes);
  for (const Named& m : models()) {
    if (m.name != name) continue;
    const std::shared_ptr<ModelConfig> c = m.config->clone();
    if (flavour == "hf") {
      auto* vit = dynamic_cast<VitConfig*>(c.get());
      TAUT_CHECK(vit != nullptr, "[model.flavour] expected timm for '{}', got hf, which is for ViTs", name);
      vit->eps = 1e-12;
      vit->pooler = true;
    }
    if (classes > 0) c->classes = classes;
    return c;
  }
  fail(Exit::kUsage, "[model.name] there is no model '{}'; hint: {}", name, did_you_mean(name, model_names()));
}

VitConfig vit_config(const std::string& name, const std::string& flavour, int64_t classes) {
  const std::shared_ptr<ModelConfig> c = model_config(name, flavour, classes);
  const auto* vit = dynamic_cast<const VitConfig*>(c.get());
  TAUT_CHECK(vit != nullptr, "[model.name] expected a ViT, got '{}'", name);
  return *vit;
}

}  // namespace taut::nn
