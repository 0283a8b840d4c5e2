// Archives, folders and single files, read one entry after another; and what no archive of images holds is refused.
//
// tar (plain, gzip, bzip2) and zip are read by libarchive. Refused with Error(kBadData), naming archive and entry:
// links, devices and other special files, paths that are absolute, leave the target or are no proper UTF-8 (also where
// a PAX header or GNU long name says so), encrypted, sparse and oversized entries, archives that unpack to far more
// than they are, content longer or shorter than announced.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace taut {

struct ArchiveLimits {
  static constexpr int64_t kEntryBytes = int64_t{1} << 30;  // of one entry
  static constexpr int64_t kTotalBytes = int64_t{4} << 40;  // of all entries
  static constexpr int64_t kEntries = 50'000'000;
};

struct ArchiveEntry {
  std::string path;  // normalised and checked
  int64_t bytes = 0;
  bool is_folder = false;
};

class ArchiveReader {
 public:
  virtual ~ArchiveReader() = default;
  // Goes to the next file or folder; false at the end.
  virtual bool next(ArchiveEntry& entry) = 0;
  // The content of the current file; once for each.
  virtual std::vector<uint8_t> read() = 0;
  // How much of the input has been passed, in bytes, and how large it is.
  virtual int64_t position() const = 0;
  virtual int64_t size() const = 0;
};

// True for the name of a list or a file of records, which is an entry of its own under that name.
bool is_single_file(const std::string& name);

// Opens a folder (its entries, sorted, under the folder's own name), a list or a file of records (.txt, .csv,
// .mat, .bin, -ubyte[.gz]: one entry) or an archive (anything else). Throws Error(kMissing) where there is none,
// Error(kBadData) for no archive.
std::unique_ptr<ArchiveReader> open_archive(const std::string& path);

}  // namespace taut
