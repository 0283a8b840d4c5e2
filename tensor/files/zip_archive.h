// Zip archives as torch.save and np.savez write them, read through their central directory (with zip64).
//
// Refused: compression other than deflate, encryption, several disks, bytes behind the archive, names that occur twice,
// are not UTF-8 or lead out of a folder (absolute, "..", "\"), symbolic links, entries that overlap or leave the file,
// sizes on which directory and local header disagree or that deflate cannot reach, entries that together unpack to far
// more than the file is (tensor/files/unpacking.h), wrong checksums.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/files/file_bytes.h"

struct z_stream_s;  // zlib's

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

 private:
  struct Directory {
    uint64_t begin = 0, size = 0, entries = 0;
  };
  Directory find_directory() const;
  Directory zip64_directory(uint64_t end_record, const Directory& in_32_bits) const;
  ZipEntry parse_entry(uint64_t at, uint64_t end, uint64_t& next) const;
  void parse_local_header(ZipEntry& entry, uint16_t flags, uint64_t directory) const;
  void check_disjoint() const;
  void check_total() const;

  FileBytes file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, size_t> index_;
};

// The data of a deflated entry, from its start on, so that none of it but what is asked for is in memory.
class Inflater {
 public:
  Inflater(FileBytes file, ZipEntry entry);
  // The next to.size() bytes; all reads together at most entry.size. The last one checks the entry's end and checksum.
  // Throws Error(kBadData) naming file and entry.
  void read(std::span<std::byte> to);

 private:
  void check_end(int status);
  [[noreturn]] void bad(const std::string& what) const;

  FileBytes file_;
  ZipEntry entry_;
  std::unique_ptr<z_stream_s, int (*)(z_stream_s*)> stream_;
  std::span<const std::byte> from_;
  uint64_t written_ = 0;
  uint32_t crc_ = 0;
};

inline bool looks_like_zip(const FileBytes& file) {
  return file.starts_with("PK\x03\x04") || file.starts_with("PK\x05\x06");
}

}  // namespace taut
