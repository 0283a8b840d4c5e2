#include "kernels/error.h"
#include "tensor/files/npy.h"
#include "tensor/files/pickle.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/shard_index.h"
#include "tensor/files/torch_file.h"
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

constexpr Reader kReaders[] = {
    {"safetensors", [](const FileBytes& f) { read_all(parse_safetensors(f)); }, safetensors_seeds},
    {"pickle", read_pickle, pickle_seeds},
    {"torch_zip", [](const FileBytes& f) { read_all(parse_torch_zip(ZipArchive(f))); }, torch_zip_seeds},
    {"torch_legacy", [](const FileBytes& f) { read_all(parse_torch_legacy(f)); }, torch_legacy_seeds},
    {"npy", [](const FileBytes& f) { read_all(parse_npy(f)); }, npy_seeds},
    {"npz", [](const FileBytes& f) { read_all(parse_npz(ZipArchive(f))); }, npz_seeds},
    {"shard_index", [](const FileBytes& f) { parse_shard_index(f); }, shard_index_seeds},
};

}  // namespace

std::span<const Reader> readers() { return kReaders; }

const Reader& reader(const std::string& name) {
  for (const Reader& r : kReaders)
    if (name == r.name) return r;
  fail(Exit::kUsage, "[fuzz] there is no reader '{}'", name);
}

}  // namespace taut::fuzz
