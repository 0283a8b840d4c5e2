#include "tests/fuzz/models.h"

#include <functional>
#include <map>
#include <stdexcept>

#include "finetune/delta.h"
#include "finetune/foreign.h"
#include "kernels/error.h"
#include "nn/convert.h"
#include "nn/weights.h"
#include "tensor/safetensors.h"
#include "tensor/weights_file.h"
#include "tests/fuzz/folder.h"

namespace taut::fuzz {
namespace {

constexpr const char* kBase = "base";

// All parameters' and buffers' bytes.
std::string state(const nn::Model& model) {
  std::string bytes;
  for (const auto& [path, value] : nn::state_of(model)) {
    const Tensor t = value.contiguous();
    bytes.append(reinterpret_cast<const char*>(t.raw()), static_cast<size_t>(t.bytes()));
  }
  return bytes;
}

// A model that files are loaded into, built again after one was accepted, and checked after one was refused.
struct Target {
  std::function<std::shared_ptr<nn::Model>()> build;
  std::shared_ptr<nn::Model> model = {};
  std::string before = {};

  void load(const std::function<void(nn::Model&)>& read) {
    if (!model) {
      model = build();
      before = state(*model);
    }
    try {
      read(*model);
      model.reset();
    } catch (const Error&) {
      if (state(*model) != before) throw std::logic_error("a refused file changed the model");
      throw;
    }
  }
};

int64_t bytes_of(const WeightsFile& file) {
  int64_t bytes = 0;
  for (const StoredTensor& t : file.tensors()) bytes += t.bytes;
  return bytes;
}

// Of a whole folder, a file that is not there is a refusal like others.
[[noreturn]] void refuse(const Error& e) {
  if (e.code() == Exit::kMissing) fail(Exit::kBadData, "{}", e.what());
  throw Error(e);
}

}  // namespace

nn::VitConfig adapted_config() {
  nn::VitConfig c;
  c.image_size = 8;
  c.patch = 4;
  c.dim = 8;
  c.depth = 2;
  c.heads = 2;
  c.mlp = 12;
  c.classes = 3;
  return c;
}

nn::ResNetConfig adapted_resnet() {
  nn::ResNetConfig c;
  c.image_size = 8;
  c.classes = 3;
  c.large_stem = false;
  c.stem = 4;
  c.planes = {4, 6};
  c.depths = {1, 1};
  return c;
}

finetune::StrategyOptions small_options() {
  finetune::StrategyOptions options;
  options.rank = 2;
  options.bottleneck = 4;
  options.phm_n = 2;
  return options;
}

void read_adapter(const FileBytes& file) {
  static const Scratch scratch;
  static Target vit{[] { return adapted_config().build(); }}, resnet{[] { return adapted_resnet().build(); }};
  std::vector<FilePart> files = split_files(file.text(0, file.size()));
  const bool is_resnet = std::erase_if(files, [](const FilePart& f) { return f.name == "resnet"; }) > 0;
  for (FilePart& f : files)
    if (!f.name.ends_with(".json")) f.bytes = weights_of(f.bytes);
  scratch.fill(files);
  try {
    (is_resnet ? resnet : vit).load([&](nn::Model& model) {
      finetune::load_foreign_delta(scratch.path().string(), model);
    });
  } catch (const Error& e) {
    refuse(e);
  }
}

std::string delta_text(const nn::ModelConfig& config, const std::string& strategy) {
  const Scratch scratch;
  const std::string path = (scratch.path() / "delta.safetensors").string();
  const std::shared_ptr<nn::Model> model = config.build();
  finetune::strategy(strategy).apply(*model, small_options(), 0);
  finetune::save_delta(path, *model, finetune::strategy(strategy), small_options(), kBase);
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::string text = "tensors";
  for (const auto& [key, value] : file.metadata()) text += fmt::format("\n@{} {}", key, value);
  for (const StoredTensor& t : file.tensors())
    text += fmt::format("\n{} {}{}{}", t.name, t.dtype, t.shape.empty() ? "" : " ", fmt::join(t.shape, ","));
  return text;
}

void read_delta(const FileBytes& file) {
  using finetune::Layout;
  static const Scratch scratch;
  static std::map<std::string, Target> targets;
  const std::vector<FilePart> files = split_files(file.text(0, file.size()));
  if (files.empty()) fail(Exit::kBadData, "[{}] expected a delta", file.path());
  const std::string& to = files[0].name;
  scratch.fill({{"in", weights_of(files[0].bytes)}});
  const std::string in = (scratch.path() / "in").string(), out = (scratch.path() / "out").string();
  try {
    for (const auto& [name, layout] :
         {std::pair{"peft", Layout::kPeft}, {"peft_v5", Layout::kPeftV5}, {"adapterhub", Layout::kAdapterHub}})
      if (to == name) return finetune::write_foreign_delta(in, out, layout);
    for (const char* name : {"vit.lora", "vit.adapter", "vit.compacter", "vit.lp", "resnet.lora", "resnet.bn"}) {
      if (to != name) continue;
      const finetune::Strategy& strategy = finetune::strategy(to.substr(to.find('.') + 1));
      Target& target = targets[to];
      target.build = [&] {
        const auto model = to.starts_with("vit") ? adapted_config().build() : adapted_resnet().build();
        strategy.apply(*model, small_options(), 0);
        return model;
      };
      return target.load([&](nn::Model& model) { finetune::load_delta(in, model, strategy, small_options(), kBase); });
    }
  } catch (const Error& e) {
    // What a layout has no place for, which the hint says.
    if (e.code() == Exit::kUsage && std::string_view(e.what()).find("; hint: ") != std::string_view::npos)
      fail(Exit::kBadData, "{}", e.what());
    refuse(e);
  }
  fail(Exit::kBadData, "[{}] expected a layout or a net with a strategy, got '{}'", file.path(), printable(to));
}

void read_convert(const FileBytes& file) {
  static const Scratch scratch;
  const std::vector<FilePart> files = split_files(file.text(0, file.size()));
  if (files.empty()) fail(Exit::kBadData, "[{}] expected a style and a file", file.path());
  std::string to = files[0].name;
  nn::ConvertOptions options;
  const bool npz = to == "google.npz";
  if (to.ends_with(".shards")) options.shard_bytes = 256;
  to = to.substr(0, to.find('.'));
  for (const std::string& names : nn::convertible_names()) {
    if (to != names) continue;
    scratch.fill({{"in", weights_of(files[0].bytes)}});
    const std::string in = (scratch.path() / "in").string();
    try {
      const std::string out = (scratch.path() / (npz ? "out.npz" : "out.safetensors")).string();
      const nn::ConvertReport report = nn::convert_weights(in, out, names, options);
      const WeightsFile written = WeightsFile::open(report.written);
      if (std::ssize(written.tensors()) != report.tensors || bytes_of(written) != bytes_of(WeightsFile::open(in)))
        throw std::logic_error("what was written has other tensors");
    } catch (const Error& e) {
      if (npz && e.code() == Exit::kUsage) fail(Exit::kBadData, "{}", e.what());  // a type that NumPy has not
      refuse(e);
    }
    return;
  }
  fail(Exit::kBadData, "[{}] expected a style of names, got '{}'", file.path(), printable(to));
}

}  // namespace taut::fuzz
