// One interface to every data set: numbered 8-bit images with labels.
//
// Data sets are immutable and may be read from several threads at once. They are shared by pointer, because wrappers
// (a subset, a transformation, a shifted domain) hold the one they wrap. `open_dataset` recognises the format from the
// path; The formats are described beside their readers (cifar.cc, idx.cc, folder.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace taut {

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::string name() const = 0;  // "cifar10", or the folder's name
  virtual int64_t size() const = 0;      // images
  virtual int64_t classes() const = 0;   // labels are in [0, classes)
  virtual std::string class_name(int64_t c) const = 0;
  virtual int64_t label(int64_t i) const = 0;
  // Decoded on every call where the images are files. Throws Error(kBadData) for a damaged one.
  virtual Image image(int64_t i) const = 0;
  // Where image(i)'s pixels lie in memory as they are, for as long as the data set lives; null where they must be made.
  virtual const uint8_t* pixels(int64_t) const { return nullptr; }
  // A text that changes when image(i) does: a file's path, size and times, or a hash of a record. Empty where nobody
  // can tell; such images are not kept in a cache.
  virtual std::string identity(int64_t) const { return {}; }
  // Whether image(i) only copies what was read when the data set was opened.
  virtual bool in_memory() const { return false; }
  // Where image i comes from: a file, or a file and a record. For messages and reports.
  virtual std::string source(int64_t i) const = 0;
  // The SHA-256 of an imported set's list of images, labels and splits; "" where the data were not imported.
  virtual std::string list_sha256() const { return {}; }
  // What a reader should be told: skipped files, a split made here. One sentence each.
  virtual std::vector<std::string> notes() const { return {}; }
};

using DatasetPtr = std::shared_ptr<const Dataset>;

struct DatasetOptions {
  std::string labels = {};  // a CSV file with the columns file,class_index; empty: the folder's own labels.csv, if any
  // "train", "validation", "test" or "all". Unset: the test images where the data come split, else all of them.
  std::optional<std::string> split = {};
  std::string domain = {};                 // one folder of a data set laid out as ROOT/DOMAIN/CLASS
  std::vector<int64_t> keep_classes = {};  // only these, renumbered 0, 1, ... in this order; empty: all
  int64_t limit = 0;                       // at most so many images; 0: all. File order; class folders take turns
  int64_t classes = 0;  // the number of classes of a CSV (0: its largest label + 1) or IDX set (0: 10)
  uint64_t seed = 0;    // of procedural data and of splits made here
  // Images of a list that gives them no split are in every split; or, for who trains on one and judges on another, a
  // fifth of each class is drawn for testing.
  bool divide = false;
};

// What `path` may be, for listings.
struct DatasetFormat {
  const char* path;
  const char* description;
};
const std::vector<DatasetFormat>& dataset_formats();

// Opens a data set in one of these formats.
// Class folders that come without a split are divided by the seed, class by class, 4 : 1 into train and test.
// Throws Error(kMissing) for a path or split that is not there, Error(kBadData) for damaged content: truncated records,
// labels out of range (naming file, record and value), and Error(kUsage) for a folder it does not recognise.
DatasetPtr open_dataset(const std::string& path, const DatasetOptions& options = {});

// The domains of a data set laid out as ROOT/DOMAIN/CLASS, sorted; empty where it has none. All of them number the same
// classes alike: open one with {.split = "train", .domain = "photo"}.
std::vector<std::string> dataset_domains(const std::string& path);

// Throws Error(kBadData), naming the image's source and the value, unless all labels are below `classes` (a model's).
void check_labels(const Dataset& dataset, int64_t classes);

// ---- wrappers -------------------------------------------------------------------------------------------------------

// The images at `indices`, in that order; repetitions are allowed. Throws Error(kUsage) for an index out of range.
DatasetPtr subset(DatasetPtr base, std::vector<int64_t> indices);

// The first `n` images (all of them if there are fewer).
DatasetPtr first(DatasetPtr base, int64_t n);

// Only the images of the given classes, renumbered in the order given: {0,2,3,4,6} makes five classes.
DatasetPtr keep_classes(DatasetPtr base, std::vector<int64_t> classes);

// Every image passed through `change`, a pure function of the image and its index. `identity` names the function with
// all it depends on; without one the images have no identity.
DatasetPtr transformed(DatasetPtr base, std::string name, std::function<Image(const Image&, int64_t index)> change,
                       std::string identity = {});

// Indices of the first `n` images of each class, in file order. Throws Error(kUsage) where a class has fewer.
std::vector<int64_t> first_per_class(const Dataset& dataset, int64_t n);

}  // namespace taut
