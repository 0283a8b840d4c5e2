#include "study/run/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include "kernels/error.h"
#include "study/text_file.h"
#include "tensor/atomic_file.h"
#include "tensor/safetensors.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr const char* kManifest = "MANIFEST.sha256";

fs::path folder_of(const std::string& run_folder) { return fs::path(run_folder) / "ckpt"; }

void rename_or_fail(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail(Exit::kIo, "[{}] cannot be renamed to {}: {}", from.string(), to.string(), error.message());
}

// First out of sight under a name that the next start removes, so that a crash leaves no half checkpoint.
void discard(const fs::path& folder) {
  const fs::path out_of_sight = folder.parent_path() / (".tmp-old-" + folder.filename().string());
  std::error_code error;
  fs::remove_all(out_of_sight, error);
  rename_or_fail(folder, out_of_sight);
  fs::remove_all(out_of_sight, error);
}

// Steps of all checkpoint folders, newest first.
std::vector<int64_t> steps_in(const fs::path& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    if (!name.starts_with("step-") || entry.is_symlink()) continue;
    const char* end = name.data() + name.size();
    if (std::from_chars(name.data() + 5, end, step).ptr == end && name == checkpoint_name(step)) steps.push_back(step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

// Throws Error(kBadData) naming the file unless the manifest lists exactly the folder's files with their sums.
void verify(const fs::path& folder) {
  std::set<std::string> listed;
  for (const std::string& line : lines_of(read_text_file((folder / kManifest).string()))) {
    const auto gap = line.find("  ");
    if (gap != 64) fail(Exit::kBadData, "[{}] expected lines of a sum and a name", (folder / kManifest).string());
    const fs::path file = folder / line.substr(gap + 2);
    if (file.parent_path() != folder)
      fail(Exit::kBadData, "[{}] names '{}'", (folder / kManifest).string(), file.string());
    if (!fs::exists(file)) fail(Exit::kBadData, "[{}] is missing", file.string());
    if (sha256_of_file(file.string()) != line.substr(0, gap))
      fail(Exit::kBadData, "[{}] does not have the SHA-256 that the manifest recorded", file.string());
    listed.insert(file.filename().string());
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != kManifest && !listed.contains(name))
      fail(Exit::kBadData, "[{}] is not in the manifest", entry.path().string());
  }
  if (!listed.contains("state.json")) fail(Exit::kBadData, "[{}] lists no state.json", (folder / kManifest).string());
}

Checkpoint read_folder(const fs::path& folder, int64_t step) {
  verify(folder);
  Checkpoint checkpoint{step, folder.string(), read_json((folder / "state.json").string()), {}};
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file = SafetensorsFile::open(entry.path().string());
    auto& tensors = checkpoint.tensors[entry.path().stem().string()];
    for (const std::string& name : file.names()) tensors[name] = file.read(name);
  }
  return checkpoint;
}

// ckpt/last points to the newest one; a convenience, nothing reads it.
void point_last(const fs::path& folder, const std::string& name) {
  const fs::path temporary = folder / ".tmp-last";
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink(name, temporary, error);
  if (!error) fs::rename(temporary, folder / "last", error);
  if (error) fs::remove(temporary, error);  // some file systems have no links
}

}  // namespace

std::string checkpoint_name(int64_t step) { return fmt::format("step-{:08d}", step); }

void write_checkpoint(const std::string& run_folder, int64_t step, const Json& state,
                      const std::map<std::string, NamedTensors>& files) {
  const fs::path parent = folder_of(run_folder), name = checkpoint_name(step);
  const fs::path temporary = parent / (".tmp-" + name.string());
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  try {
    make_folder(temporary.string());
    std::string manifest;
    const auto list = [&](const std::string& file) {
      manifest += sha256_of_file((temporary / file).string()) + "  " + file + "\n";
    };
    for (const auto& [stem, tensors] : files) {
      const std::string file = stem + ".safetensors";
      write_safetensors((temporary / file).string(), tensors);
      list(file);
    }
    write_file_atomically((temporary / "state.json").string(), state.dump(2) + "\n");
    list("state.json");
    write_file_atomically((temporary / kManifest).string(), manifest);
    if (fs::exists(parent / name)) discard(parent / name);
    rename_or_fail(temporary, parent / name);
    sync_folder(parent.string());
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
  point_last(parent, name.string());
}

std::optional<Checkpoint> read_last_checkpoint(const std::string& run_folder,
                                               const std::function<void(const std::string&)>& warn,
                                               const std::function<void(const Checkpoint&)>& check) {
  const fs::path parent = folder_of(run_folder);
  for (const int64_t step : steps_in(parent)) {
    try {
      Checkpoint checkpoint = read_folder(parent / checkpoint_name(step), step);
      if (check) check(checkpoint);
      return checkpoint;
    } catch (const Error& error) {
      warn(fmt::format("{}; the checkpoint {} is left out and the one before it is taken", error.what(),
                       checkpoint_name(step)));
    }
  }
  return std::nullopt;
}

bool has_checkpoint(const std::string& run_folder, int64_t step) {
  return fs::exists(folder_of(run_folder) / checkpoint_name(step));
}

Checkpoint read_checkpoint(const std::string& run_folder, int64_t step) {
  const fs::path folder = folder_of(run_folder) / checkpoint_name(step);
  if (!fs::exists(folder)) fail(Exit::kMissing, "[{}] there is no such checkpoint", folder.string());
  return read_folder(folder, step);
}

void prune_checkpoints(const std::string& run_folder, int64_t keep, const std::function<bool(int64_t)>& planned) {
  const fs::path parent = folder_of(run_folder);
  int64_t kept = 0;
  bool changed = false;
  for (const int64_t step : steps_in(parent)) {
    const bool stays = planned(step) ? kept < keep : kept == 0;
    if (planned(step) && stays) ++kept;
    if (stays) continue;
    discard(parent / checkpoint_name(step));
    changed = true;
  }
  // A run that is done looks at nothing any more: what the power brought back would stay.
  if (changed) sync_folder(parent.string());
}

void discard_checkpoint(const std::string& run_folder, int64_t step) {
  discard(folder_of(run_folder) / checkpoint_name(step));
}

}  // namespace taut::study
