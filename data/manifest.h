// What an import writes beside the images: which they are, where they came from, and what was left out.
//
//   manifest.json   name, classes, counts, the rule of the split, archives, skipped files with reasons, hash of the
//   list images.csv      file,record,class_index,split,domain,bytes,sha256: a line an image, in the data set's order
//
// The hash of images.csv is the identity of the data: it depends on the images, their labels and splits, and on nothing
// else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace taut {

struct ManifestImage {
  std::string file;     // within the data set's folder, and within the archive
  int64_t record = -1;  // of a file that holds many images; -1: the file is one
  int64_t label = 0;
  std::string split;   // "train", "validation", "test", or "all" where the data come without a split
  std::string domain;  // "" where there are none
  int64_t bytes = 0;
  std::string sha256;  // of the file, or of a record's pixels (rows, columns, channels)
};

// An archive, or a file of records.
struct ManifestFile {
  std::string file;
  int64_t bytes = 0;
  std::string sha256;
  bool operator==(const ManifestFile&) const = default;
};

struct SkippedFile {
  std::string file, reason;
};

struct Manifest {
  std::string name;          // as known to `taut data import`
  std::string layout;        // "images", or whose records the files hold: "cifar", "idx"
  std::string folder;        // of records: where they lie within the data set's folder
  std::string split_rule;    // one sentence
  bool split_drawn = false;  // the authors gave none
  uint64_t seed = 0;         // of the import, which draws that split
  bool complete = false;     // the known counts are reached
  std::vector<std::string> classes, domains;
  std::vector<std::string> differences;  // from what is known of the data set, one sentence each
  std::vector<std::string> notes;        // what a reader of results should be told
  std::vector<ManifestFile> archives, files;
  std::vector<SkippedFile> skipped;
  std::vector<ManifestImage> images;
  std::string sha256;  // of images.csv

  // Images that a split has; those of split "all" belong to each.
  int64_t count(const std::string& split) const;
};

bool has_manifest(const std::filesystem::path& folder);
// Writes both files and sets manifest.sha256. Throws Error(kIo), Error(kBadData) where a name is not UTF-8.
void write_manifest(const std::filesystem::path& folder, Manifest& manifest);
// All but the images. Throws Error(kMissing) where there is none, Error(kBadData) naming file and field.
Manifest read_manifest_header(const std::filesystem::path& folder);
// Everything; besides, Error(kBadData) where the list is not the one whose hash the header has, or holds a path that
// leaves the folder, a label that is no class, or anything else of another kind than expected.
Manifest read_manifest(const std::filesystem::path& folder);

// The SHA-256 of the list of an imported folder, "" for any other path.
std::string imported_list_sha256(const std::string& path);

// Whether an import drew the split of `path`, since its authors gave none: images of a domain that is not trained on
// need not be divided by it.
bool split_was_drawn(const std::string& path);

}  // namespace taut
