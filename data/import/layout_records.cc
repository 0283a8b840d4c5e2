// Data sets in files of many images: CIFAR and IDX. The files stay as they are; the manifest lists their records.
#include <algorithm>

#include "data/formats.h"
#include "data/import/entry_path.h"
#include "data/import/layout.h"
#include "data/import/records.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace taut {
namespace {

class Records : public Layout {
 public:
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    for (const ManifestFile& image : contents.images)
      manifest.skipped.push_back({image.file, "not one of the data set's files of records"});
    if (contents.records.empty()) fail(Exit::kMissing, "[{}] expected {}, got none", manifest.name, expected());
    manifest.folder = std::string(folder_of(contents.records[0].file));
    for (const ManifestFile& file : contents.records)
      if (folder_of(file.file) != manifest.folder)
        fail(Exit::kBadData, "[{}] expected all files of records in one folder, got '{}' and '{}'", manifest.name,
             contents.records[0].file, file.file);
    manifest.files = contents.records;
    manifest.layout = layout();
    manifest.split_rule = "The official one: the files.";
    for (const char* split : {"train", "test"}) add_records(contents.folder, split, manifest);
  }

 protected:
  virtual std::string expected() const = 0;
  virtual const char* layout() const = 0;
  virtual int64_t classes() const = 0;

 private:
  void add_records(const std::filesystem::path& folder, const std::string& split, Manifest& manifest) const {
    const DatasetPtr data = open_records(folder, manifest, split, classes());
    if (data == nullptr) return;
    const auto begin = static_cast<int64_t>(manifest.images.size());
    manifest.images.resize(static_cast<size_t>(begin + data->size()));
    parallel_for(data->size(), 256, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i)
        manifest.images[static_cast<size_t>(begin + i)] = manifest_record(*data, i, manifest.folder, split);
    });
    int64_t largest = data->classes() - 1;
    if (classes() == 0) {
      largest = 9;  // the digits, if no label says more
      for (const ManifestImage& image : manifest.images) largest = std::max(largest, image.label);
    }
    manifest.classes.clear();
    for (int64_t c = 0; c <= largest; ++c) manifest.classes.push_back(data->class_name(c));
  }
};

class Cifar : public Records {
 public:
  explicit Cifar(bool fine) : fine_(fine) {}
  Use use(const std::string& path) const override {
    const std::string name(base_name(path));
    if (fine_)
      return name == "train.bin" || name == "test.bin" || name == "fine_label_names.txt" ||
                     name == "coarse_label_names.txt"
                 ? Use::kRecords
                 : Use::kNothing;
    const bool is_batch = name.starts_with("data_batch_") && name.ends_with(".bin") && name.size() == 16;
    return is_batch || name == "test_batch.bin" || name == "batches.meta.txt" ? Use::kRecords : Use::kNothing;
  }

 protected:
  std::string expected() const override {
    return fine_ ? "train.bin or test.bin; hint: the binary version, cifar-100-binary.tar.gz"
                 : "data_batch_1.bin to data_batch_5.bin or test_batch.bin; hint: the binary version, "
                   "cifar-10-binary.tar.gz";
  }
  const char* layout() const override { return "cifar"; }
  int64_t classes() const override { return fine_ ? 100 : 10; }

 private:
  bool fine_;
};

class Idx : public Records {
 public:
  Use use(const std::string& path) const override {
    const std::string name = lower_case(base_name(path));
    const bool is_part = name.starts_with("train-") || name.starts_with("t10k-");
    return is_part && name.find("-ubyte") != std::string::npos ? Use::kRecords : Use::kNothing;
  }

 protected:
  std::string expected() const override { return "train-images-idx3-ubyte[.gz] and the like"; }
  const char* layout() const override { return "idx"; }
  int64_t classes() const override { return 0; }
};

}  // namespace

std::unique_ptr<Layout> cifar_layout(const std::string& name) { return std::make_unique<Cifar>(name == "cifar100"); }
std::unique_ptr<Layout> idx_layout() { return std::make_unique<Idx>(); }

}  // namespace taut
