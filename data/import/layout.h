// How the files of one known data set become images with labels, splits and domains.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "data/manifest.h"

namespace taut {

// What the archives held, by the time all have been read.
struct ImportContents {
  std::filesystem::path folder;       // where the files lie now
  std::vector<ManifestFile> images;   // sorted by path; each of them decodes
  std::vector<ManifestFile> records;  // sorted by path
  std::map<std::string, std::vector<uint8_t>> lists;
  uint64_t seed = 0;  // for sets without an official split
};

class Layout {
 public:
  virtual ~Layout() = default;
  enum class Use { kImage, kList, kRecords, kNothing };
  // What a file of this path is; kImage where only its content can tell.
  virtual Use use(const std::string& path) const;
  // Fills classes, domains, images, files, layout, folder, split_rule, and adds to differences and skipped. Throws
  // Error(kMissing) for a list that is needed and not there, Error(kBadData) naming list and line.
  virtual void arrange(const ImportContents& contents, Manifest& manifest) const = 0;
};

// Of the data set of that name (data/import/known.h).
std::unique_ptr<Layout> layout_of(const std::string& name);

// ---- shared by the layouts ------------------------------------------------------------------------------------------

// Where an image belongs, or why it belongs nowhere.
struct Place {
  int64_t label = 0;
  std::string split, domain;
};
using Placement = std::variant<Place, std::string>;

// Puts every image where `place` says or into the skipped ones, in order.
void place_images(const ImportContents& contents, Manifest& manifest,
                  const std::function<Placement(const std::string& path)>& place);

// A fifth of each class in each domain, drawn by the seed, becomes the test set, the rest the training set.
void split_by_seed(Manifest& manifest, uint64_t seed);

// Numbers the names in sorted order; returns name to number and fills manifest.classes.
std::map<std::string, int64_t> number_classes(const std::vector<std::string>& names, Manifest& manifest);

// The list whose base name is `name`, the least deep one. Throws Error(kMissing).
const std::pair<const std::string, std::vector<uint8_t>>& list_named(const ImportContents& contents,
                                                                     const std::string& name,
                                                                     const std::string& dataset);

// Where there are any: a difference, and the data set is not complete.
void report_absent(const std::vector<std::string>& absent, const std::string& list, Manifest& manifest);

std::vector<std::string> components_of(const std::string& path);

std::unique_ptr<Layout> cub200_layout();
std::unique_ptr<Layout> stanford_dogs_layout();
std::unique_ptr<Layout> domainnet_layout();
std::unique_ptr<Layout> caltech256_layout();
std::unique_ptr<Layout> class_folder_layout(const std::string& name);  // caltech101, pacs, imagenet_folder, folder
std::unique_ptr<Layout> grocery81_layout();
std::unique_ptr<Layout> folder_csv_layout();
std::unique_ptr<Layout> cifar_layout(const std::string& name);  // cifar10, cifar100
std::unique_ptr<Layout> idx_layout();

}  // namespace taut
