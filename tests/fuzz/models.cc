#include "tests/fuzz/models.h"

#include <stdexcept>

#include "finetune/foreign.h"
#include "kernels/error.h"
#include "nn/convert.h"
#include "tensor/weights_file.h"
#include "tests/fuzz/folder.h"

namespace taut::fuzz {
namespace {

// All parameters' bytes.
std::string state(const nn::Vit& vit) {
  std::string bytes;
  for (const nn::NamedParameter& p : vit.parameters()) {
    const Tensor t = p.var.value().contiguous();
    bytes.append(reinterpret_cast<const char*>(t.raw()), static_cast<size_t>(t.bytes()));
  }
  return bytes;
}

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

void read_adapter(const FileBytes& file) {
  static const Scratch scratch;
  static std::shared_ptr<nn::Vit> vit;
  static std::string before;
  std::vector<FilePart> files = split_files(file.text(0, file.size()));
  for (FilePart& f : files)
    if (!f.name.ends_with(".json")) f.bytes = weights_of(f.bytes);
  scratch.fill(files);
  if (!vit) {
    vit = std::make_shared<nn::Vit>(adapted_config(), DType::kF32);
    before = state(*vit);
  }
  try {
    finetune::load_foreign_delta(scratch.path().string(), *vit);
    vit.reset();
  } catch (const Error& e) {
    if (state(*vit) != before) throw std::logic_error("a refused adapter changed the model");
    refuse(e);
  }
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
