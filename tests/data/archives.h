// Archives as the authors of data sets pack them, and as nobody should.
#pragma once

#include <string>
#include <vector>

#include "tests/data/support.h"

namespace taut::test {

struct Packed {
  enum class Kind { kFile, kFolder, kSymlink, kHardlink, kDevice, kFifo };
  std::string path;
  Bytes bytes = {};
  Kind kind = Kind::kFile;
  std::string link = {};
};

inline Packed text_entry(std::string path, const std::string& text) {
  return {std::move(path), Bytes(text.begin(), text.end())};
}

// Writes a tar (.tar), a gzipped tar (.tgz, .tar.gz) or a zip (.zip), in this order. PAX headers where they are needed.
void write_archive(const std::string& path, const std::vector<Packed>& entries);

// A plain tar header block with these fields and a right checksum, for what libarchive refuses to write.
Bytes tar_header(const std::string& name, uint64_t size, char type, const std::string& link = "");
// The header, the bytes and the padding.
Bytes tar_entry(const std::string& name, const Bytes& bytes, char type = '0', const std::string& link = "");

// How a file of MATLAB keeps a column of numbers: doubles, doubles that were whole and small and are kept as bytes
// (what MATLAB does with them), or an array of class uint8.
enum class MatlabNumbers { kDouble, kDoubleAsBytes, kUint8 };
// A MATLAB 5 file with the cell array `file_list` and the column `labels`, as Stanford Dogs has them.
Bytes matlab_list(const std::vector<std::string>& files, const std::vector<double>& labels,
                  MatlabNumbers numbers = MatlabNumbers::kDouble);

}  // namespace taut::test
