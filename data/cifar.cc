// CIFAR's binary format: records of label bytes (CIFAR-10: one; CIFAR-100: coarse, fine) and 3072 pixel bytes, the
// planes red, green, blue of 32 rows of 32. Any subset of the batches will do. (Krizhevsky 2009.)
#include <algorithm>

#include "data/formats.h"
#include "kernels/error.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kPixels = 3 * kPlane;
constexpr int64_t kMaxFile = int64_t{1} << 30;

struct Batch {
  std::string file;
  std::vector<uint8_t> bytes;
  int64_t records = 0;
};

class Cifar : public Dataset {
 public:
  Cifar(const std::vector<fs::path>& files, bool fine, std::vector<std::string> names)
      : classes_(fine ? 100 : 10), label_bytes_(fine ? 2 : 1), names_(std::move(names)) {
    const int64_t record = label_bytes_ + kPixels;
    for (const fs::path& file : files) {
      Batch batch{file.string(), read_bytes(file, kMaxFile)};
      const auto bytes = static_cast<int64_t>(batch.bytes.size());
      if (bytes == 0 || bytes % record != 0) {
        fail(Exit::kBadData,
             "[{}] expected records of {} bytes, got {} bytes, {} too many; hint: the file is truncated", batch.file,
             record, bytes, bytes % record);
      }
      batch.records = bytes / record;
      for (int64_t r = 0; r < batch.records; ++r) {
        for (int64_t k = 0; k < label_bytes_; ++k) {
          const int64_t limit = k + 1 == label_bytes_ ? classes_ : 20;
          const int64_t label = batch.bytes[static_cast<size_t>(r * record + k)];
          if (label >= limit) {
            fail(Exit::kBadData, "[{}] expected labels below {}, got {} in record {}", batch.file, limit, label, r);
          }
        }
      }
      size_ += batch.records;
      batches_.push_back(std::move(batch));
    }
  }

  std::string name() const override { return classes_ == 10 ? "cifar10" : "cifar100"; }
  int64_t size() const override { return size_; }
  int64_t classes() const override { return classes_; }
  std::string class_name(int64_t c) const override {
    return c < static_cast<int64_t>(names_.size()) ? names_[static_cast<size_t>(c)] : std::to_string(c);
  }
  int64_t label(int64_t i) const override { return find(i).first[label_bytes_ - 1]; }
  Image image(int64_t i) const override {
    const uint8_t* planes = find(i).first + label_bytes_;
    Image image(kSide, kSide, 3);
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t p = 0; p < kPlane; ++p) image.pixels[static_cast<size_t>(3 * p + c)] = planes[c * kPlane + p];
    }
    return image;
  }
  std::string identity(int64_t i) const override {
    return sha256_of({reinterpret_cast<const char*>(find(i).first + label_bytes_), static_cast<size_t>(kPixels)});
  }
  bool in_memory() const override { return true; }
  std::string source(int64_t i) const override { return find(i).second; }

 private:
  // The record's first byte, and its name.
  std::pair<const uint8_t*, std::string> find(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size_, "[{}] expected an image number in [0, {}), got {}", name(), size_, i);
    size_t b = 0;
    for (; i >= batches_[b].records; ++b) i -= batches_[b].records;
    return {batches_[b].bytes.data() + i * (label_bytes_ + kPixels), fmt::format("{} record {}", batches_[b].file, i)};
  }

  int64_t classes_, label_bytes_, size_ = 0;
  std::vector<std::string> names_;
  std::vector<Batch> batches_;
};

std::vector<fs::path> ten_batches(const fs::path& folder) {
  std::vector<fs::path> files;
  for (int k = 1; k <= 5; ++k) {
    const fs::path file = folder / fmt::format("data_batch_{}.bin", k);
    if (fs::exists(file)) files.push_back(file);
  }
  return files;
}

}  // namespace

bool is_cifar10(const fs::path& folder) {
  return !ten_batches(folder).empty() || fs::exists(folder / "test_batch.bin");
}

bool is_cifar100(const fs::path& folder) {
  return fs::exists(folder / "fine_label_names.txt") || fs::exists(folder / "train.bin") ||
         fs::exists(folder / "test.bin");
}

DatasetPtr open_cifar(const fs::path& folder, const std::string& split) {
  const bool fine = !is_cifar10(folder);
  std::vector<fs::path> files;
  if (split == "train" || split == "all") {
    files = fine ? std::vector<fs::path>{folder / "train.bin"} : ten_batches(folder);
  }
  if (split == "test" || split == "all") files.push_back(folder / (fine ? "test.bin" : "test_batch.bin"));
  if (files.empty()) {
    fail(Exit::kMissing, "[{}] expected a file of the split '{}' ({}), got none", folder.string(), split,
         split == "train" ? "data_batch_1.bin to data_batch_5.bin" : "CIFAR has train and test");
  }
  const fs::path names_file = folder / (fine ? "fine_label_names.txt" : "batches.meta.txt");
  std::vector<std::string> names;
  if (fs::exists(names_file)) names = read_lines(names_file);
  names.erase(std::remove(names.begin(), names.end(), ""), names.end());
  return std::make_shared<Cifar>(files, fine, std::move(names));
}

}  // namespace taut
