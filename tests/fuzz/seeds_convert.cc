// Files of weights on their way to other names: sound ones of every style, and tensors that do not belong together.
#include <functional>

#include "nn/models.h"
#include "nn/weights.h"
#include "tests/fuzz/build_files.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/models.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {
namespace {

struct Line {
  std::string name, dtype;
  Shape shape;
};
using Lines = std::vector<Line>;

std::string text_of(const Lines& lines) {
  std::string text = "tensors";
  for (const Line& l : lines) {
    text += "\n" + l.name + " " + l.dtype + (l.shape.empty() ? "" : " ");
    for (size_t i = 0; i < l.shape.size(); ++i) text += (i ? "," : "") + std::to_string(l.shape[i]);
  }
  return text;
}

Lines vit(nn::NameStyle style, const std::string& dtype = "F32") {
  nn::VitConfig config = adapted_config();
  config.depth = 1;
  Lines lines;
  for (const nn::NameEntry& e : nn::name_map(config, style)) lines.push_back({e.external, dtype, e.shape});
  return lines;
}

Lines net(const char* model) {
  Lines lines;
  for (const nn::NameEntry& e : nn::name_map(*nn::model_config(model)->build()))
    lines.push_back({e.path, "U8", e.shape});
  return lines;
}

}  // namespace

std::vector<Seed> convert_seeds() {
  using nn::NameStyle;
  std::vector<Seed> seeds;
  const auto add = [&](const std::string& name, const std::string& to, const Lines& lines,
                       const std::string& reason = "") {
    seeds.push_back({name, join_files({{to, text_of(lines)}}), reason});
  };
  const auto changed = [&](const std::string& name, const std::string& to, NameStyle from,
                           const std::function<void(Lines&)>& change, const std::string& reason = "") {
    Lines lines = vit(from);
    change(lines);
    add(name, to, lines, reason);
  };
  const auto line = [](Lines& lines, const std::string& part) -> Line& {
    for (Line& l : lines)
      if (l.name.find(part) != std::string::npos) return l;
    return lines.front();
  };
  for (const NameStyle from : {NameStyle::kTimm, NameStyle::kHf, NameStyle::kGoogle})
    for (const char* to : {"timm", "hf", "google", "google.npz", "timm.shards"})
      // A width of 8 says nothing of the number of heads; Google's files say it.
      add(fmt::format("{} to {}", static_cast<int>(from), to), to, vit(from),
          std::string(to).starts_with("google") && from != NameStyle::kGoogle
              ? "google names keep attention heads apart"
              : "");
  add("half precision", "hf", vit(NameStyle::kTimm, "F16"));
  add("a type nobody reads, moved all the same", "hf", vit(NameStyle::kTimm, "F8_E4M3"));
  add("a type NumPy has not", "google.npz", vit(NameStyle::kGoogle, "BF16"), "in an .npz, got BF16");
  changed(
      "elements of half a byte", "hf", NameStyle::kTimm, [&](Lines& all) { line(all, "cls_token").dtype = "F4"; },
      "expected elements of whole bytes");
  add("a small net", "torchvision", net("trades_small_cnn"));
  add("a residual net", "timm", net("cifar_resnet20"));
  add("a residual net with projections", "kuangliu", net("cifar_resnet20_b"));
  Lines headless = net("cifar_resnet20");
  std::erase_if(headless, [](const Line& l) { return l.name.starts_with("linear."); });
  add("a residual net without a head", "akamaster", headless);
  add("a net in a ViT's names", "hf", net("trades_small_cnn"), "expected torchvision or timm ... got hf names");
  add("a ViT in torchvision's names", "torchvision", vit(NameStyle::kTimm),
      "expected timm, hf, hf_model ... got torchvision names");
  changed("wrapped names", "hf", NameStyle::kTimm, [](Lines& all) {
    for (Line& l : all) l.name = "module." + l.name;
  });
  changed("without a head", "timm", NameStyle::kHf,
          [](Lines& all) { std::erase_if(all, [](const Line& l) { return l.name.starts_with("classifier"); }); });
  const auto stack = [](Lines& all) {
    for (Line& l : all) {
      const size_t at = l.name.find("encoderblock_0");
      if (at == std::string::npos) continue;
      l.name.erase(at + 12, 2);
      l.shape.insert(l.shape.begin(), 1);
    }
  };
  changed("stacked blocks", "hf", NameStyle::kGoogle, stack);
  changed(
      "more stacked blocks in one tensor", "hf", NameStyle::kGoogle,
      [&](Lines& all) {
        stack(all);
        line(all, "query/kernel").shape[0] = 5;
      },
      "5 blocks ... 60 missing");
  changed(
      "one parameter under two names", "hf", NameStyle::kTimm,
      [](Lines& all) {
        all.push_back({"module." + all[0].name, "F32", all[0].shape});
      },
      "are the same parameter");
  changed(
      "half a head", "hf", NameStyle::kTimm, [&](Lines& all) { line(all, "head.bias").name = "x"; },
      "missing: head.bias");
  changed(
      "a block without its first norm", "hf", NameStyle::kTimm,
      [](Lines& all) { std::erase_if(all, [](const Line& l) { return l.name == "blocks.0.norm1.weight"; }); },
      "1 missing: blocks.0.norm1.weight");
  changed(
      "LayerScale", "hf", NameStyle::kTimm,
      [](Lines& all) {
        all.push_back({"blocks.0.ls1.gamma", "F32", {8}});
      },
      "1 of LayerScale, a part of the function that this ViT does not compute: blocks.0.ls1.gamma");
  changed(
      "a stranger", "hf", NameStyle::kTimm,
      [](Lines& all) {
        all.push_back({"extra", "F32", {1}});
      },
      "1 unknown: extra");
  changed(
      "a stranger that commands a terminal", "hf", NameStyle::kTimm,
      [](Lines& all) {
        all.push_back({"\x1b]0;x\x07", "F32", {1}});
      },
      "1 unknown: \\x1b]0;x\\x07");
  changed(
      "strangers of 4000 bytes", "hf", NameStyle::kTimm,
      [](Lines& all) {
        for (const char c : std::string("abcdefgh")) all.push_back({std::string(4000, c), "F32", {1}});
      },
      "8 unknown: aaaa");
  changed(
      "q, k, v of two types", "timm", NameStyle::kHf, [&](Lines& all) { line(all, "key.weight").dtype = "F16"; },
      "as the other parts of");
  changed(
      "q, k, v of two widths", "timm", NameStyle::kHf,
      [&](Lines& all) {
        line(all, "key.weight").shape = {7, 8};
      },
      "mis-shaped");
  changed(
      "heads that do not divide the width", "timm", NameStyle::kGoogle,
      [&](Lines& all) {
        line(all, "query/kernel").shape = {8, 3, 4};
      },
      "expected the tensors of a ViT");
  changed(
      "no heads", "timm", NameStyle::kGoogle,
      [&](Lines& all) {
        line(all, "query/kernel").shape = {8, 0, 4};
      },
      "expected the tensors of a ViT");
  changed(
      "positions that are no square", "hf", NameStyle::kTimm,
      [&](Lines& all) {
        line(all, "pos_embed").shape = {1, 7, 8};
      },
      "expected the tensors of a ViT");
  changed(
      "no positions", "hf", NameStyle::kTimm,
      [&](Lines& all) {
        line(all, "pos_embed").shape = {1, 0, 8};
      },
      "expected the tensors of a ViT");
  changed(
      "a patch of nothing", "hf", NameStyle::kTimm,
      [&](Lines& all) {
        line(all, "patch_embed.proj.weight").shape = {8, 3, 0, 0};
      },
      "expected the tensors of a ViT");
  changed(
      "an empty MLP of 2^40", "hf", NameStyle::kTimm,
      [&](Lines& all) {
        line(all, "fc1.weight").shape = {int64_t{1} << 40, 0};
      },
      "mis-shaped");
  changed(
      "blocks with a gap", "hf", NameStyle::kTimm,
      [](Lines& all) {
        for (Line& l : all)
          if (l.name.starts_with("blocks.0")) l.name[7] = '3';
      },
      "expected the tensors of a ViT");
  changed(
      "a block of number 2^70", "hf", NameStyle::kTimm,
      [](Lines& all) {
        all.push_back({"blocks.1180591620717411303424.norm1.weight", "F32", {8}});
      },
      "1 unknown");
  add("nothing", "hf", {}, "expected the tensors of a ViT");
  seeds.push_back({"damaged", join_files({{"hf", safetensors("{}", 3)}}), "expected 0 bytes of tensors, got 3"});
  seeds.push_back({"no style", join_files({{"x", "tensors"}}), "expected a style of names, got 'x'"});
  return seeds;
}

}  // namespace taut::fuzz
