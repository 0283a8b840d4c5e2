// Which format a path holds.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>

#include "data/formats.h"
#include "data/procedural.h"
#include "kernels/error.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kProcedural = "procedural:";

// The first `n` images when the classes take turns, in file order: class folders are sorted by class, so that their
// first images would all be of one.
DatasetPtr first_in_turns(DatasetPtr base, int64_t n) {
  if (n >= base->size()) return base;
  std::vector<int64_t> order(static_cast<size_t>(base->size())), turn(order.size());
  std::vector<int64_t> seen(static_cast<size_t>(base->classes()), 0);
  std::iota(order.begin(), order.end(), 0);
  for (const int64_t i : order) turn[static_cast<size_t>(i)] = seen[static_cast<size_t>(base->label(i))]++;
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return turn[static_cast<size_t>(a)] < turn[static_cast<size_t>(b)]; });
  order.resize(static_cast<size_t>(n));
  std::sort(order.begin(), order.end());
  return subset(std::move(base), std::move(order));
}

}  // namespace

const std::vector<DatasetFormat>& dataset_formats() {
  static const std::vector<DatasetFormat> formats = {
      {"FOLDER with manifest.json and images.csv", "what `taut data import` makes"},
      {"FOLDER with data_batch_*.bin, test_batch.bin", "CIFAR-10, any subset of the batches"},
      {"FOLDER with train.bin, test.bin", "CIFAR-100, fine labels"},
      {"FOLDER with train_X.bin, test_X.bin", "STL-10"},
      {"FOLDER with *-images-idx3-ubyte[.gz]", "IDX: MNIST, Fashion-MNIST"},
      {"FOLDER with labels.csv, or data.labels=FILE",
       "images listed as file,class_index[,class_name][,split][,domain]"},
      {"FOLDER with {train,val,test}/CLASS/* or CLASS/*", "class folders of JPEG, PNG or BMP, in sorted order"},
      {"FOLDER with DOMAIN/CLASS/* and data.domain=DOMAIN", "one domain of several"},
      {"procedural:easy", "made from a seed: five classes unlike each other"},
      {"procedural:fine", "made from a seed: five variations of one figure"},
      {"procedural:upstream", "made from a seed: the 100 classes of pre-training"},
  };
  return formats;
}

std::string folder_name(const fs::path& folder) {
  const fs::path clean = folder.lexically_normal();
  return (clean.has_filename() ? clean : clean.parent_path()).filename().string();
}

std::vector<uint8_t> read_bytes(const fs::path& file, int64_t limit) {
  if (!fs::exists(file)) fail(Exit::kMissing, "[{}] expected a file, got none", file.string());
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"), std::fclose);
  if (!in) fail(Exit::kIo, "[{}] expected a readable file, got: {}", file.string(), std::strerror(errno));
  std::vector<uint8_t> bytes;
  constexpr size_t kChunk = 1 << 20;
  for (size_t got = kChunk; got == kChunk;) {
    const size_t at = bytes.size();
    bytes.resize(at + kChunk);
    got = std::fread(bytes.data() + at, 1, kChunk, in.get());
    bytes.resize(at + got);
    if (static_cast<int64_t>(bytes.size()) > limit) {
      fail(Exit::kBadData, "[{}] expected at most {} bytes, got more", file.string(), limit);
    }
  }
  if (std::ferror(in.get()) != 0) fail(Exit::kIo, "[{}] expected a readable file, got a read error", file.string());
  return bytes;
}

std::string file_identity(const fs::path& file) {
  struct stat status {};
  std::error_code error;
  const fs::path absolute = fs::absolute(file, error);
  if (error || ::stat(file.c_str(), &status) != 0) return {};
  // The time of the last change of the inode cannot be set back, as that of the contents can.
  return fmt::format("{}: {} bytes, {}.{:09} {}.{:09}", absolute.lexically_normal().string(), status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec);
}

std::vector<std::string> read_lines(const fs::path& file) { return lines_of(read_bytes(file, int64_t{256} << 20)); }

std::vector<std::string> lines_of(std::span<const uint8_t> bytes) {
  std::vector<std::string> lines;
  for (auto at = bytes.begin(); at != bytes.end();) {
    const auto end = std::find(at, bytes.end(), '\n');
    lines.emplace_back(at, end);
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end == bytes.end() ? end : end + 1;
  }
  return lines;
}

DatasetPtr open_dataset(const std::string& path, const DatasetOptions& options) {
  TAUT_CHECK(!path.empty(), "[data.path] expected a folder or procedural:NAME, got nothing");
  TAUT_CHECK(options.limit >= 0, "[data.limit] expected at least 0, got {}", options.limit);
  const std::string split = options.split.value_or("test");
  TAUT_CHECK(split == "train" || split == "validation" || split == "test" || split == "all",
             "[data.split] expected train, validation, test or all, got '{}'", split);

  DatasetPtr data;
  bool by_class = false;
  const fs::path folder(path);
  if (path.starts_with(kProcedural)) {
    data = procedural_dataset(path.substr(kProcedural.size()), split, options.seed);
  } else if (!fs::exists(folder)) {
    fail(Exit::kMissing, "[data.path] expected a folder, got '{}', which does not exist", path);
  } else if (!fs::is_directory(folder)) {
    fail(Exit::kUsage, "[data.path] expected a folder, got the file '{}'", path);
  } else if (has_manifest(folder) && options.labels.empty()) {
    Manifest manifest = read_manifest(folder);
    by_class = manifest.layout == "images" && manifest.name != "folder_csv";
    data = open_imported(folder, std::move(manifest), options);
  } else if (!options.labels.empty() || fs::exists(folder / "labels.csv")) {
    data = open_csv(folder, options.labels.empty() ? folder / "labels.csv" : fs::path(options.labels), options);
  } else if (is_cifar10(folder) || is_cifar100(folder)) {
    data = open_cifar(folder, split);
  } else if (is_stl10(folder)) {
    data = open_stl10(folder, split);
  } else if (is_idx(folder)) {
    data = open_idx(folder, split, options.classes > 0 ? options.classes : 10);
  } else {
    data = open_class_folders(folder, options);
    by_class = true;
  }
  if (!options.keep_classes.empty()) data = keep_classes(std::move(data), options.keep_classes);
  if (options.limit > 0) data = by_class ? first_in_turns(data, options.limit) : first(data, options.limit);
  return data;
}

std::vector<std::string> dataset_domains(const std::string& path) {
  if (!fs::is_directory(path)) return {};
  return has_manifest(path) ? read_manifest_header(path).domains : folder_domains(path);
}

}  // namespace taut
