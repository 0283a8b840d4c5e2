#include "data/import/check.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>

#include "data/import/records.h"
#include "data/manifest.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

// What is wrong with a file, "" if nothing is.
std::string fault_of(const fs::path& path, int64_t bytes, const std::string& sha256) {
  std::error_code error;
  const auto status = fs::symlink_status(path, error);
  if (!fs::exists(status)) return "is missing";
  if (!fs::is_regular_file(status)) return "is no regular file";
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (size != bytes) return fmt::format("expected {} bytes, got {}", bytes, size);
  const std::string found = sha256_of_file(path.string());
  return found == sha256 ? std::string{} : fmt::format("expected the SHA-256 {}, got {}", sha256, found);
}

// Names the records of damaged files, or the file where none differs.
void check_records(const fs::path& folder, const Manifest& manifest, CheckResult& result) {
  std::set<std::string> damaged;
  for (const ManifestFile& file : manifest.files) {
    const std::string fault = fault_of(folder / file.file, file.bytes, file.sha256);
    if (!fault.empty()) {
      damaged.insert(file.file);
      result.problems.push_back(fmt::format("{}: {}", file.file, fault));
    }
  }
  if (damaged.empty()) return;
  std::vector<std::string> records;
  try {
    size_t line = 0;
    for (const char* split : {"train", "test"}) {
      const DatasetPtr data = open_records(folder, manifest, split, static_cast<int64_t>(manifest.classes.size()));
      for (int64_t i = 0; data != nullptr && i < data->size() && line < manifest.images.size(); ++i, ++line) {
        const ManifestImage found = manifest_record(*data, i, manifest.folder, split), &known = manifest.images[line];
        if (found.sha256 != known.sha256 || found.label != known.label)
          records.push_back(fmt::format("{} record {} is not the one that was imported", known.file, known.record));
      }
    }
  } catch (const Error& error) {
    records = {std::string("its records cannot be read: ") + error.what()};
  }
  for (const std::string& record : records) result.notes.push_back(record);
}

void check_files(const fs::path& folder, const Manifest& manifest, CheckResult& result,
                 const std::function<void(int64_t, int64_t)>& progress) {
  const auto n = static_cast<int64_t>(manifest.images.size());
  int64_t all = 0, done = 0;
  for (const ManifestImage& image : manifest.images) all += image.bytes;
  std::vector<std::string> faults(static_cast<size_t>(n));
  constexpr int64_t kAtOnce = 1024;
  for (int64_t begin = 0; begin < n; begin += kAtOnce) {
    const int64_t count = std::min(kAtOnce, n - begin);
    parallel_for(count, 4, [&](int64_t from, int64_t to) {
      for (int64_t i = begin + from; i < begin + to; ++i) {
        const ManifestImage& image = manifest.images[static_cast<size_t>(i)];
        faults[static_cast<size_t>(i)] = fault_of(folder / image.file, image.bytes, image.sha256);
      }
    });
    for (int64_t i = begin; i < begin + count; ++i) done += manifest.images[static_cast<size_t>(i)].bytes;
    progress(done, all);
  }
  for (int64_t i = 0; i < n; ++i)
    if (!faults[static_cast<size_t>(i)].empty())
      result.problems.push_back(
          fmt::format("{}: {}", manifest.images[static_cast<size_t>(i)].file, faults[static_cast<size_t>(i)]));
}

void note_unknown_files(const fs::path& folder, const Manifest& manifest, CheckResult& result) {
  std::set<std::string> known = {"manifest.json", "images.csv"};
  for (const ManifestImage& image : manifest.images) known.insert(image.file);
  for (const ManifestFile& file : manifest.files) known.insert(file.file);
  for (fs::recursive_directory_iterator it(folder), end; it != end; ++it) {
    const std::string inside = it->path().lexically_relative(folder).generic_string();
    if (!it->is_directory() && !known.contains(inside)) result.notes.push_back(inside + " is not in the manifest");
  }
}

}  // namespace

CheckResult check_import(const std::string& folder, const std::function<void(int64_t, int64_t)>& progress) {
  CheckResult result;
  result.name = fs::path(folder).filename().string();
  if (!has_manifest(folder))
    fail(Exit::kMissing, "[{}] expected manifest.json and images.csv, as `taut data import` writes them, got none",
         folder);
  Manifest manifest;
  try {
    manifest = read_manifest(folder);
  } catch (const Error& error) {
    if (error.code() != Exit::kBadData) throw;
    result.problems.emplace_back(error.what());
    return result;
  }
  result.name = manifest.name;
  result.images = static_cast<int64_t>(manifest.images.size());
  if (manifest.layout == "images")
    check_files(folder, manifest, result, progress);
  else
    check_records(folder, manifest, result);
  note_unknown_files(folder, manifest, result);
  return result;
}

}  // namespace taut
