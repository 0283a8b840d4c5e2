// Zip archives as torch.save and np.savez write them, read through their central directory (with zip64).
//
// Refused: compression other than deflate, encryption, several disks, bytes behind the archive, names that occur twice,
// are not UTF-8 or lead out of a folder (absolute, "..", "\"), symbolic links, entries that overlap or leave the file,
// sizes on which directory and local header disagree or that deflate cannot reach, wrong checksums.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensor/files/file_bytes.h"

namespace taut {

struct ZipEntry {
  std::string name;
  bool deflated = false;
  uint32_t crc = 0;
  uint64_t header = 0;  // where its local header is in the file
  uint64_t begin = 0;   // where its data is
  uint64_t packed = 0;  // bytes in the file
  uint64_t size = 0;    // bytes unpacked; packed if it is stored
};

class ZipArchive {
 public:
  // Checks everything, checksums of stored entries included (those of deflated ones when they are read). Throws
  // Error(kBadData) naming file and entry or offset.
  explicit ZipArchive(FileBytes file);

  const FileBytes& file() const { return file_; }
  const std::vector<ZipEntry>& entries() const { return entries_; }  // in the directory's order
  const ZipEntry* find(const std::string& name) const;               // nullptr where there is none
  // The data of a stored entry.
  std::string_view stored(const ZipEntry& entry) const { return file_.text(entry.begin, entry.packed); }
  // The first first.size() + rest.size() bytes of a deflated entry, at most entry.size. The checksum is checked if they
  // are all of it. Throws Error(kBadData) naming file and entry.
  static void inflate(const FileBytes& file, const ZipEntry& entry, std::span<std::byte> first,
                      std::span<std::byte> rest);

 private:
  struct Directory {
    uint64_t begin = 0, size = 0, entries = 0;
  };
  Directory find_directory() const;
  Directory zip64_directory(uint64_t end_record, const Directory& in_32_bits) const;
  ZipEntry parse_entry(uint64_t at, uint64_t end, uint64_t& next) const;
  void parse_local_header(ZipEntry& entry, uint16_t flags, uint64_t directory) const;
  void check_disjoint() const;

  FileBytes file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, size_t> index_;
};

inline bool looks_like_zip(const FileBytes& file) {
  return file.starts_with("PK\x03\x04") || file.starts_with("PK\x05\x06");
}

}  // namespace taut
