#include "kernels/error.h"
#include "tensor/files/any_weights.h"
#include "tensor/files/npy.h"
#include "tensor/files/pickle.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/shard_index.h"
#include "tensor/files/torch_file.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/models.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {
namespace {

void read_all(const FileContents& contents) {
  for (const StoredTensor& t : contents.tensors) {
    std::vector<std::byte> elements(static_cast<size_t>(t.bytes));
    copy_elements(t, elements.data());
  }
}

// One pickle and nothing behind it; it may hold anything that is allowed, not only a dict of tensors.
void read_pickle(const FileBytes& file) {
  const Pickle pickle(file.text(0, file.size()), fmt::format("[{}]", file.path()), 0);
  if (pickle.length() != file.size()) fail(Exit::kBadData, "[{}] more follows the pickle", file.path());
}

FileBytes no_further_file(const std::string& path) { fail(Exit::kBadData, "[{}] there is no further file", path); }

// An index and the files it names.
void read_sharded(const FileBytes& file) {
  const std::vector<FilePart> files = split_files(file.text(0, file.size()));
  if (files.empty()) fail(Exit::kBadData, "[{}] expected an index", file.path());
  read_all(
      parse_weights(FileBytes::copy("model.safetensors.index.json", files[0].bytes), {}, [&](const std::string& path) {
        for (const FilePart& f : files)
          if (f.name == path) return FileBytes::copy(path, weights_of(f.bytes));
        fail(Exit::kBadData, "[{}] cannot be opened", path);
      }));
}

constexpr Reader kReaders[] = {
    {"safetensors", [](const FileBytes& f) { read_all(parse_safetensors(f)); }, safetensors_seeds},
    {"pickle", read_pickle, pickle_seeds},
    {"torch_zip", [](const FileBytes& f) { read_all(parse_torch_zip(ZipArchive(f))); }, torch_zip_seeds},
    {"torch_legacy", [](const FileBytes& f) { read_all(parse_torch_legacy(f)); }, torch_legacy_seeds},
    {"npy", [](const FileBytes& f) { read_all(parse_npy(f)); }, npy_seeds},
    {"npz", [](const FileBytes& f) { read_all(parse_npz(ZipArchive(f))); }, npz_seeds},
    {"shard_index", [](const FileBytes& f) { parse_shard_index(f); }, shard_index_seeds},
    {"weights", [](const FileBytes& f) { read_all(parse_weights(f, {}, no_further_file)); }, weights_seeds, true},
    {"sharded", read_sharded, sharded_seeds, true},
    {"adapter", read_adapter, adapter_seeds, true},
    {"delta", read_delta, delta_seeds, true},
    {"convert", read_convert, convert_seeds, true},
};

}  // namespace

std::span<const Reader> readers() { return kReaders; }

const Reader& reader(const std::string& name) {
  for (const Reader& r : kReaders)
    if (name == r.name) return r;
  fail(Exit::kUsage, "[fuzz] there is no reader '{}'", name);
}

}  // namespace taut::fuzz
