// The folder that `taut data import` made: the manifest says which images there are. What is read is compared with the
// manifest first, so that a changed file is an error and never a training image.
#include <algorithm>

#include "data/decode.h"
#include "data/decode_isolated.h"
#include "data/formats.h"
#include "data/import/records.h"
#include "kernels/error.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

class Imported : public Dataset {
 public:
  Imported(const fs::path& folder, Manifest manifest, std::string name)
      : folder_(folder), manifest_(std::move(manifest)), name_(std::move(name)) {}
  std::string name() const override { return name_; }
  int64_t size() const override { return static_cast<int64_t>(manifest_.images.size()); }
  int64_t classes() const override { return static_cast<int64_t>(manifest_.classes.size()); }
  std::string class_name(int64_t c) const override { return manifest_.classes.at(static_cast<size_t>(c)); }
  int64_t label(int64_t i) const override { return at(i).label; }
  Image image(int64_t i) const override {
    const ManifestImage& known = at(i);
    const std::string file = source(i);
    const std::vector<uint8_t> bytes = read_bytes(file, DecodeLimits::kFileBytes);
    Sha256 hash;
    hash.update(bytes.data(), bytes.size());
    if (hash.hex() != known.sha256)
      fail(Exit::kBadData, "[{}] the file is not the one that was imported; hint: taut data check {}", file,
           folder_.string());
    return decode_isolated(bytes, file);
  }
  // What is read is compared with it, so that no other image can have it.
  std::string identity(int64_t i) const override { return at(i).sha256; }
  std::string source(int64_t i) const override { return (folder_ / at(i).file).string(); }
  std::string list_sha256() const override { return manifest_.sha256; }
  std::vector<std::string> notes() const override { return manifest_.notes; }

 private:
  const ManifestImage& at(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name_, size(), i);
    return manifest_.images[static_cast<size_t>(i)];
  }

  fs::path folder_;
  Manifest manifest_;
  std::string name_;
};

// Records of the splits one after another; the files' hashes were checked.
class ImportedRecords : public Dataset {
 public:
  ImportedRecords(std::vector<DatasetPtr> parts, Manifest manifest)
      : parts_(std::move(parts)), manifest_(std::move(manifest)) {}
  std::string name() const override { return manifest_.name; }
  int64_t size() const override {
    int64_t n = 0;
    for (const DatasetPtr& part : parts_) n += part->size();
    return n;
  }
  int64_t classes() const override { return static_cast<int64_t>(manifest_.classes.size()); }
  std::string class_name(int64_t c) const override { return manifest_.classes.at(static_cast<size_t>(c)); }
  int64_t label(int64_t i) const override {
    const Dataset& part = find(i);
    return part.label(i);
  }
  Image image(int64_t i) const override {
    const Dataset& part = find(i);
    return part.image(i);
  }
  std::string identity(int64_t i) const override {
    const Dataset& part = find(i);
    return part.identity(i);
  }
  bool in_memory() const override { return true; }
  std::string source(int64_t i) const override {
    const Dataset& part = find(i);
    return part.source(i);
  }
  std::string list_sha256() const override { return manifest_.sha256; }
  std::vector<std::string> notes() const override { return manifest_.notes; }

 private:
  // The part that has image i, which becomes its number within the part.
  const Dataset& find(int64_t& i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name(), size(), i);
    size_t part = 0;
    for (; i >= parts_[part]->size(); ++part) i -= parts_[part]->size();
    return *parts_[part];
  }

  std::vector<DatasetPtr> parts_;
  Manifest manifest_;
};

DatasetPtr records_of(const fs::path& folder, Manifest manifest, const std::string& split) {
  for (const ManifestFile& file : manifest.files) {
    const std::string path = (folder / file.file).string();
    if (sha256_of_file(path) != file.sha256)
      fail(Exit::kBadData, "[{}] the file is not the one that was imported; hint: taut data check {}", path,
           folder.string());
  }
  std::vector<DatasetPtr> parts;
  for (const char* part : {"train", "test"})
    if (split == part || split == "all")
      if (DatasetPtr data = open_records(folder, manifest, part, static_cast<int64_t>(manifest.classes.size())))
        parts.push_back(std::move(data));
  if (parts.empty()) fail(Exit::kMissing, "[{}] expected images of the split '{}', got none", folder.string(), split);
  manifest.images.clear();
  return std::make_shared<ImportedRecords>(std::move(parts), std::move(manifest));
}

}  // namespace

DatasetPtr open_imported(const fs::path& folder, Manifest manifest, const DatasetOptions& options) {
  const std::string split = options.split.value_or("test"), &domain = options.domain;
  if (!domain.empty() && std::ranges::count(manifest.domains, domain) == 0)
    fail(Exit::kMissing, "[{}] expected a domain of data.path ({}), got '{}'", folder.string(),
         manifest.domains.empty() ? "it has none" : joined(manifest.domains), domain);
  TAUT_CHECK(manifest.domains.empty() || !domain.empty(),
             "[{}] expected one of several domains; hint: data.domain= one of {}", folder.string(),
             joined(manifest.domains));
  if (manifest.layout != "images") return records_of(folder, std::move(manifest), split);
  std::erase_if(manifest.images, [&](const ManifestImage& image) {
    return (split != "all" && image.split != "all" && image.split != split) ||
           (!domain.empty() && image.domain != domain);
  });
  if (manifest.images.empty())
    fail(Exit::kMissing, "[{}] expected images of the split '{}', got none; {}", folder.string(), split,
         manifest.split_rule);
  std::string name = domain.empty() ? manifest.name : manifest.name + "-" + domain;
  return std::make_shared<Imported>(folder, std::move(manifest), std::move(name));
}

}  // namespace taut
