#include "tensor/weights_file.h"

#include <filesystem>
#include <set>

#include "tensor/files/npy.h"
#include "tensor/files/safetensors_header.h"
#include "tensor/files/shard_index.h"
#include "tensor/files/torch_file.h"
#include "tensor/files/zip_archive.h"

namespace taut {
namespace {

constexpr size_t kMaxShards = 10'000;

FileContents parse_one(FileBytes file, const WeightsOptions& options) {
  if (looks_like_zip(file)) {
    const ZipArchive zip(std::move(file));
    return looks_like_torch_zip(zip) ? parse_torch_zip(zip) : parse_npz(zip, {options.v2_is_bf16});
  }
  if (looks_like_torch_legacy(file)) return parse_torch_legacy(std::move(file));
  if (looks_like_npy(file)) return parse_npy(std::move(file), {options.v2_is_bf16});
  if (looks_like_safetensors(file)) return parse_safetensors(std::move(file));
  const bool pickle = file.starts_with("\x80");
  fail(Exit::kBadData,
       "[{}] expected weights as safetensors, torch (zip or legacy), npy or npz, got {} bytes that start with \"{}\"{}",
       file.path(), file.size(), printable(file.text(0, std::min<uint64_t>(file.size(), 16))),
       pickle ? "; hint: a bare pickle is none of them, save with torch.save" : "");
}

// The index says exactly what the files hold.
FileContents parse_shards(FileBytes file, const WeightsOptions& options) {
  const ShardIndex index = parse_shard_index(file);
  const std::filesystem::path folder = std::filesystem::path(file.path()).parent_path();
  std::set<std::string> names;
  for (const auto& [tensor, name] : index.file_of) names.insert(name);
  if (names.size() > kMaxShards)
    fail(Exit::kBadData, "[{}] expected at most {} files, got {}", file.path(), kMaxShards, names.size());
  FileContents all{std::move(file), "safetensors index", {}, index.metadata, {}};
  for (const std::string& name : names) {
    FileContents shard = parse_one(FileBytes::map((folder / name).string()), options);
    for (StoredTensor& t : shard.tensors) {
      const auto it = index.file_of.find(t.name);
      if (it == index.file_of.end() || it->second != name)
        fail(Exit::kBadData, "[{}] tensor '{}' is in '{}', the index says {}", all.file.path(), printable(t.name),
             printable(name), it == index.file_of.end() ? "nothing of it" : printable(it->second));
      all.tensors.push_back(std::move(t));
    }
    all.shards.push_back(std::move(shard.file));
  }
  if (all.tensors.size() != index.file_of.size()) {
    std::set<std::string> found;
    for (const StoredTensor& t : all.tensors) found.insert(t.name);
    for (const auto& [tensor, name] : index.file_of)
      if (!found.contains(tensor))
        fail(Exit::kBadData, "[{}] tensor '{}': the index says it is in '{}', it is not", all.file.path(),
             printable(tensor), printable(name));
  }
  return all;
}

}  // namespace

WeightsFile WeightsFile::open(const std::string& path, const WeightsOptions& options) {
  FileBytes file = FileBytes::map(path);
  const bool is_index = looks_like_shard_index(file) && !looks_like_safetensors(file);
  return WeightsFile(is_index ? parse_shards(std::move(file), options) : parse_one(std::move(file), options));
}

}  // namespace taut
