#include "data/import/records.h"

#include <algorithm>
#include <charconv>

#include "data/formats.h"
#include "data/import/entry_path.h"
#include "kernels/error.h"
#include "tensor/sha256.h"

namespace taut {
namespace {

bool has_split(const Manifest& manifest, const std::string& split) {
  return std::ranges::any_of(manifest.files, [&](const ManifestFile& f) {
    const std::string name(base_name(f.file));
    if (split == "train") return name.starts_with("data_batch_") || name == "train.bin" || name.starts_with("train-");
    return name == "test_batch.bin" || name == "test.bin" || name.starts_with("t10k-");
  });
}

constexpr int64_t kAnyLabel = 256;  // an IDX label is a byte

}  // namespace

DatasetPtr open_records(const std::filesystem::path& root, const Manifest& manifest, const std::string& split,
                        int64_t classes) {
  if (!has_split(manifest, split)) return nullptr;
  const std::filesystem::path folder = root / manifest.folder;
  if (manifest.layout == "cifar") return open_cifar(folder, split);
  return open_idx(folder, split, classes > 0 ? classes : kAnyLabel);
}

ManifestImage manifest_record(const Dataset& data, int64_t i, const std::string& folder, const std::string& split) {
  // The source reads "FOLDER/FILE record 7".
  const std::string source = data.source(i);
  const size_t number = source.rfind(' ') + 1, word = source.rfind(' ', number - 2);
  ManifestImage image;
  image.file = (folder.empty() ? "" : folder + "/") + std::string(base_name(source.substr(0, word)));
  std::from_chars(source.data() + number, source.data() + source.size(), image.record);
  image.label = data.label(i);
  image.split = split;
  const Image pixels = data.image(i);
  image.bytes = pixels.bytes();
  Sha256 hash;
  hash.update(pixels.pixels.data(), pixels.pixels.size());
  image.sha256 = hash.hex();
  return image;
}

}  // namespace taut
