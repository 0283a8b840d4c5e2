#include "tensor/shard_writer.h"

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/atomic_file.h"
#include "tensor/files/shard_index.h"
#include "tensor/safetensors.h"

namespace taut {
namespace {

namespace fs = std::filesystem;
using Named = std::vector<std::pair<std::string, Tensor>>;

constexpr const char* kEnding = ".safetensors";

std::vector<Named> cut(const Named& tensors, int64_t shard_bytes) {
  std::vector<Named> shards(1);
  int64_t bytes = 0;
  for (const auto& [name, t] : tensors) {
    if (!shards.back().empty() && t.bytes() > shard_bytes - bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().emplace_back(name, t);
    bytes += t.bytes();
  }
  return shards;
}

// The files that an index beside `path` names and that are called as this writer calls them.
std::set<std::string> files_of(const std::string& index, const std::string& stem) {
  std::set<std::string> files;
  if (!fs::is_regular_file(index)) return files;
  try {
    for (const auto& [tensor, name] : parse_shard_index(FileBytes::map(index)).file_of)
      if (name.starts_with(stem + "-") && name.ends_with(kEnding)) files.insert(name);
  } catch (const Error&) {  // no index of ours: it is replaced, and nothing it names is touched
    return {};
  }
  return files;
}

// A folder that goes when it is left.
struct Staging {
  fs::path path;
  explicit Staging(const fs::path& at) : path(at) {
    std::error_code error;
    fs::remove_all(path, error);
    fs::create_directory(path, error);
    if (error) fail(Exit::kIo, "[{}] cannot be made: {}", path.string(), error.message());
  }
  ~Staging() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
};

}  // namespace

int64_t bytes_by_name(const std::string& text, const char* setting) {
  constexpr std::pair<const char*, int64_t> kUnits[] = {
      {"", 1},          {"B", 1},         {"KB", 1000},    {"MB", 1'000'000}, {"GB", 1'000'000'000},
      {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  int64_t count = 0, bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string unit(end, text.data() + text.size());
  for (const auto& [name, factor] : kUnits)
    if (error == std::errc{} && unit == name && count > 0 && !__builtin_mul_overflow(count, factor, &bytes))
      return bytes;
  fail(Exit::kUsage, "[{}] expected a number of bytes, KB, MB, GB, KiB, MiB or GiB, got '{}'; hint: 500MB", setting,
       text);
}

std::string write_safetensors_shards(const std::string& path, const Named& tensors,
                                     const std::map<std::string, std::string>& metadata,
                                     const std::map<std::string, std::string>& dtypes, int64_t shard_bytes) {
  TAUT_CHECK(shard_bytes >= 1, "[{}] expected files of at least 1 byte, got {}", path, shard_bytes);
  constexpr size_t kMostShards = 99'999;
  const fs::path folder = fs::path(path).parent_path();
  std::string stem = fs::path(path).filename().string();
  if (stem.ends_with(kEnding)) stem.resize(stem.size() - std::string(kEnding).size());
  const std::string index = path + ".index.json";
  std::set<std::string> old = files_of(index, stem);
  const auto remove_old = [&] {
    std::error_code ignored;
    for (const std::string& name : old) fs::remove(folder / name, ignored);
  };
  std::vector<Named> shards = cut(tensors, shard_bytes);
  if (shards.size() == 1) {
    write_safetensors(path, tensors, metadata, dtypes);
    std::error_code ignored;
    fs::remove(index, ignored);
    remove_old();
    return path;
  }
  TAUT_CHECK(shards.size() <= kMostShards, "[{}] expected at most {} files, {} bytes each make {}", path, kMostShards,
             shard_bytes, shards.size());
  const Staging staging(path + ".tmp");
  nlohmann::json map = nlohmann::json::object();
  int64_t total = 0;
  std::vector<std::string> names;
  for (Named& shard : shards) {
    names.push_back(fmt::format("{}-{:05}-of-{:05}{}", stem, names.size() + 1, shards.size(), kEnding));
    write_safetensors((staging.path / names.back()).string(), shard, metadata, dtypes);
    for (const auto& [name, t] : shard) {
      TAUT_CHECK(!map.contains(name), "[{}] tensor '{}' is given twice", path, name);
      map[name] = names.back();
      total += t.bytes();
    }
    shard.clear();
  }
  // From here on there is no old model and not yet the new one.
  std::error_code error;
  fs::remove(index, error);
  for (const std::string& name : names) {
    fs::rename(staging.path / name, folder / name, error);
    if (error) fail(Exit::kIo, "[{}] cannot rename into place: {}", (folder / name).string(), error.message());
    old.erase(name);
  }
  write_file_atomically(index,
                        nlohmann::json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n");
  fs::remove(path, error);
  remove_old();
  return index;
}

}  // namespace taut
