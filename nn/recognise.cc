#include "nn/recognise.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "nn/models.h"

namespace taut::nn {
namespace {

constexpr struct {
  int64_t dim, depth;
  const char* letters;
} kSizes[] = {{192, 12, "Ti"}, {384, 12, "S"}, {768, 12, "B"}, {1024, 24, "L"}, {1280, 32, "H"}};

// The shape that the file gives a parameter of ours, in our order of dimensions; empty where it has none. `path` is
// one of `one_block`, the names of a ViT with a single block.
Shape shape_of(const FileNames& names, const std::vector<NameEntry>& one_block, const std::string& path) {
  std::vector<NameEntry> parts, missing;
  std::copy_if(one_block.begin(), one_block.end(), std::back_inserter(parts),
               [&](const NameEntry& e) { return e.path == path; });
  const std::vector<FoundEntry> found = names.find(parts, VitConfig{}.dim, missing);
  if (found.empty()) return {};
  const FoundEntry& f = found.front();
  if (f.entry.order.size() != f.shape.size()) return f.shape;
  Shape shape;
  for (const int64_t dim : f.entry.order) shape.push_back(f.shape[static_cast<size_t>(dim)]);
  return shape;
}

// The same parameter of another block, whose number is the first digit of a name in every style.
NameEntry in_block(NameEntry e, int64_t block) {
  for (std::string* name : {&e.external, &e.path}) name->replace(name->find('0'), 1, std::to_string(block));
  return e;
}

// The last block of which the file has any tensor, and those before it: what a file lacks is missing, not a smaller
// net.
int64_t blocks_of(const TensorFile& file, const FileNames& names, const std::vector<NameEntry>& one_block) {
  constexpr int64_t kMostBlocks = 1000;
  int64_t most = std::ssize(file.tensors());
  for (const StoredTensor& t : file.tensors())
    if (t.name.find("encoderblock/") != std::string::npos && !t.shape.empty()) most = std::max(most, t.shape[0]);
  for (int64_t last = std::min(kMostBlocks, most) - 1; last >= 0; --last) {
    std::vector<NameEntry> block, missing;
    for (const NameEntry& e : one_block)
      if (e.path.starts_with("blocks.")) block.push_back(in_block(e, last));
    if (!names.find(block, VitConfig{}.dim, missing).empty()) return last + 1;
  }
  return 0;
}

int64_t listed_heads(const VitConfig& c) {
  for (const std::string& model : model_names()) {
    const std::shared_ptr<ModelConfig> config = model_config(model);
    const auto* listed = dynamic_cast<const VitConfig*>(config.get());
    if (listed != nullptr && listed->dim == c.dim && listed->depth == c.depth && listed->mlp == c.mlp)
      return listed->heads;
  }
  return c.dim % 64 == 0 ? c.dim / 64 : 0;
}

std::string described_head(int64_t classes) { return classes > 0 ? fmt::format("{} classes", classes) : "no head"; }

std::string described(NameStyle style, const VitConfig& c) {
  std::string model = fmt::format("ViT of width {}, {} blocks, patch {} at {}", c.dim, c.depth, c.patch, c.image_size);
  for (const auto& size : kSizes)
    if (c.dim == size.dim && c.depth == size.depth && c.mlp == 4 * c.dim)
      model = fmt::format("ViT-{}/{} at {}", size.letters, c.patch, c.image_size);
  return fmt::format("{} names, {}, {}", name(style), model, described_head(c.classes));
}

std::optional<Recognised> recognise_vit(const TensorFile& file, const FileNames& names) {
  VitConfig one;
  one.depth = 1;
  const std::vector<NameEntry> map = name_map(one, names.style());
  const Shape patch = shape_of(names, map, "patch_embed.proj.weight"), positions = shape_of(names, map, "pos_embed"),
              fc1 = shape_of(names, map, "blocks.0.mlp.fc1.weight"), head = shape_of(names, map, "head.weight");
  if (patch.size() != 4 || patch[2] != patch[3] || positions.size() != 3 || fc1.size() != 2) return std::nullopt;
  VitConfig c;
  c.dim = patch[0];
  c.channels = patch[1];
  c.patch = patch[2];
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(positions[1] - 1))));
  if (side < 1 || side * side != positions[1] - 1 || c.dim < 1 || c.patch < 1) return std::nullopt;
  c.image_size = side * c.patch;
  c.mlp = fc1[0];
  c.classes = head.size() == 2 ? head[0] : 0;
  c.depth = blocks_of(file, names, map);
  const Shape query = shape_of(names, map, "blocks.0.attn.qkv.weight");  // Google's: (heads, width of one, inputs)
  c.heads = query.size() == 3 ? query[0] : listed_heads(c);
  if (c.depth < 1 || c.mlp < 1 || c.heads < 0 || (query.size() == 3 && (c.heads < 1 || c.dim % c.heads != 0)))
    return std::nullopt;
  Recognised r{names.style(), c, c.heads >= 1, nullptr, described(names.style(), c)};
  if (!r.heads_known) r.vit->heads = 1;
  return r;
}

struct ListedNet {
  std::string name;
  std::shared_ptr<ModelConfig> config;
  int64_t layers;
  double elements;  // of the layers' weights, but the head's, which may have any number of classes
};

// Without building it: every weight takes part in a multiply-add for each place of its layer's output.
double elements_of_weights(const ModelConfig& config) {
  std::vector<LayerCost> layers = config.layer_costs();
  layers.pop_back();
  double elements = 0;
  for (const LayerCost& layer : layers)
    elements += layer.flops / 2 / static_cast<double>(numel(layer.output)) * static_cast<double>(layer.output.back());
  return elements;
}

const std::vector<ListedNet>& listed_nets() {
  static const std::vector<ListedNet> all = [] {
    std::vector<ListedNet> nets;
    for (const std::string& name : model_names())
      if (const std::shared_ptr<ModelConfig> config = model_config(name);
          dynamic_cast<const VitConfig*>(config.get()) == nullptr)
        nets.push_back({name, config, std::ssize(config->layer_costs()), elements_of_weights(*config)});
    return nets;
  }();
  return all;
}

// The listed net all of whose tensors the file has, the head's or not, with its shapes but the number of classes.
std::optional<Recognised> recognise_net(const TensorFile& file, const FileNames& names) {
  std::vector<std::string> layers;
  for (const auto& [name, stored] : names.stored())
    if (const size_t dims = file.info(stored).shape.size(); dims == 2 || dims == 4) layers.push_back(name);
  for (const ListedNet& listed : listed_nets()) {
    // Only nets with as many layers are built to be compared, and only of a size that the file has.
    int64_t run = 0;
    double elements = 0;
    for (const std::string& name : layers) {
      if (is_never_run(*listed.config, name)) continue;
      ++run;
      elements += static_cast<double>(numel(file.info(names.stored().at(name)).shape));
    }
    const bool maybe_headless = run == listed.layers - 1;
    if ((listed.layers != run && !maybe_headless) || elements < listed.elements) continue;
    const std::shared_ptr<ModelConfig> config = listed.config->clone();
    const std::shared_ptr<Model> net = config->build();
    std::vector<NameEntry> missing;
    const std::vector<FoundEntry> found = names.find(name_map(*net), 0, missing);
    const auto is_head = [&](const NameEntry& e) { return net->is_head(e.path); };
    const bool has_head = std::none_of(missing.begin(), missing.end(), is_head);
    bool fits = std::all_of(missing.begin(), missing.end(), is_head) && has_head != maybe_headless;
    if (!has_head) config->classes = 0;
    for (const FoundEntry& f : found) {
      Shape shape = f.shape;
      if (is_head(f.entry)) {
        fits = fits && has_head && !shape.empty();  // not half a head
        if (shape.empty()) continue;
        if (f.entry.path.ends_with(".weight")) config->classes = shape[0];
        shape[0] = f.entry.shape[0];
      }
      fits = fits && shape == f.entry.shape;
    }
    if (fits)
      return Recognised{names.style(), std::nullopt, false, config,
                        fmt::format("{}, {}", listed.name, described_head(config->classes))};
  }
  return std::nullopt;
}

}  // namespace

const char* name(NameStyle style) {
  switch (style) {
    case NameStyle::kTimm: return "timm";
    case NameStyle::kHf: return "hf";
    case NameStyle::kGoogle: return "google";
    case NameStyle::kTorchvision: return "torchvision";
  }
  return "?";
}

Places places(const FileNames& names, const Recognised& known) {
  std::vector<NameEntry> map, absent;
  std::string head = "head.";
  int64_t dim = 0, classes = 0;
  if (known.vit) {
    VitConfig config = *known.vit;
    config.pooler = true;
    map = name_map(config, names.style());
    dim = config.dim;
    classes = config.classes;
  } else {
    const std::shared_ptr<ModelConfig> with_head = known.net->clone();
    classes = with_head->classes;
    with_head->classes = std::max<int64_t>(1, classes);
    const std::shared_ptr<Model> net = with_head->build();
    map = name_map(*net);
    head = net->head_path() + ".";
  }
  Places all{names.find(map, dim, absent), {}};
  for (const NameEntry& e : absent)
    if (!e.path.starts_with("pooler.") && (classes > 0 || !e.path.starts_with(head))) all.missing.push_back(e.external);
  return all;
}

std::vector<std::string> misshaped(const std::vector<FoundEntry>& found) {
  std::vector<std::string> all;
  for (const FoundEntry& f : found)
    if (f.shape != f.entry.shape)
      all.push_back(fmt::format("{} {} instead of {}", f.stored, to_string(f.shape), to_string(f.entry.shape)));
  return all;
}

bool computes_nothing(const FileNames& names, const Recognised& known, const std::string& stored) {
  return known.net != nullptr &&
         (stored.ends_with(".num_batches_tracked") || is_never_run(*known.net, names.without_prefix(stored)));
}

std::string what_does_not_fit(const TensorFile& file, const Recognised& known) {
  const FileNames names(file);
  const Places at = places(names, known);
  std::vector<std::string> unknown = names.others(at.found);
  std::erase_if(unknown, [&](const std::string& stored) { return computes_nothing(names, known, stored); });
  const std::string text = listed("mis-shaped", misshaped(at.found)) + listed("missing", at.missing) +
                           (known.vit ? listed_strangers("unknown", unknown) : listed("unknown", unknown));
  return text.empty() ? "" : ", which the file does not fit" + text;
}

std::optional<Recognised> recognise(const TensorFile& file) {
  const FileNames names(file);
  return names.style() == NameStyle::kTorchvision ? recognise_net(file, names) : recognise_vit(file, names);
}

}  // namespace taut::nn
