#include "tests/data/archives.h"

#include <archive.h>
#include <archive_entry.h>
#include <matio.h>
#include <zlib.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace taut::test {
namespace {

void require(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(what);
}

}  // namespace

void write_archive(const std::string& path, const std::vector<Packed>& entries) {
  const std::unique_ptr<archive, int (*)(archive*)> a(archive_write_new(), archive_write_free);
  if (path.ends_with(".zip")) {
    archive_write_set_format_zip(a.get());
  } else {
    archive_write_set_format_pax_restricted(a.get());
    if (!path.ends_with(".tar")) {
      archive_write_add_filter_gzip(a.get());
      archive_write_set_options(a.get(), "gzip:!timestamp");
    }
  }
  require(archive_write_open_filename(a.get(), path.c_str()) == ARCHIVE_OK, "cannot write an archive");
  for (const Packed& e : entries) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), e.path.c_str());
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_filetype(entry.get(), e.kind == Packed::Kind::kFolder    ? AE_IFDIR
                                            : e.kind == Packed::Kind::kSymlink ? AE_IFLNK
                                            : e.kind == Packed::Kind::kDevice  ? AE_IFCHR
                                            : e.kind == Packed::Kind::kFifo    ? AE_IFIFO
                                                                               : AE_IFREG);
    if (e.kind == Packed::Kind::kSymlink) archive_entry_set_symlink(entry.get(), e.link.c_str());
    if (e.kind == Packed::Kind::kHardlink) archive_entry_set_hardlink(entry.get(), e.link.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(e.bytes.size()));
    require(archive_write_header(a.get(), entry.get()) == ARCHIVE_OK, "cannot write an entry");
    if (!e.bytes.empty())
      require(archive_write_data(a.get(), e.bytes.data(), e.bytes.size()) == static_cast<la_ssize_t>(e.bytes.size()),
              "cannot write an entry's bytes");
  }
  require(archive_write_close(a.get()) == ARCHIVE_OK, "cannot close an archive");
}

Bytes tar_header(const std::string& name, uint64_t size, char type, const std::string& link) {
  Bytes block(512, 0);
  const auto put = [&](size_t at, const std::string& text) {
    std::memcpy(block.data() + at, text.data(), text.size());
  };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  char octal[16];
  std::snprintf(octal, sizeof octal, "%011lo", static_cast<unsigned long>(size));
  put(124, octal);
  put(136, "00000000000");
  put(148, "        ");
  block[156] = static_cast<uint8_t>(type);
  put(157, link.substr(0, 100));
  put(257, std::string("ustar\0"
                       "00",
                       8));
  unsigned sum = 0;
  for (const uint8_t b : block) sum += b;
  std::snprintf(octal, sizeof octal, "%06o", sum);
  put(148, std::string(octal) + '\0' + ' ');
  return block;
}

Bytes tar_entry(const std::string& name, const Bytes& bytes, char type, const std::string& link) {
  Bytes out = tar_header(name, bytes.size(), type, link);
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.resize((out.size() + 511) / 512 * 512);
  return out;
}

namespace {

// Every variable of a MATLAB 5 file packed by zlib, as MATLAB itself writes them. (matio's own packed cells are
// broken.)
Bytes packed_variables(const Bytes& file) {
  constexpr size_t kHeader = 128;
  constexpr uint8_t kCompressed = 15;
  Bytes out(file.begin(), file.begin() + kHeader);
  for (size_t at = kHeader; at + 8 <= file.size();) {
    uint32_t bytes = 0;
    std::memcpy(&bytes, file.data() + at + 4, 4);
    uLongf size = compressBound(bytes + 8);
    Bytes packed(size);
    require(compress(packed.data(), &size, file.data() + at, bytes + 8) == Z_OK, "cannot pack a variable");
    const auto count = static_cast<uint32_t>(size);
    for (const uint32_t word : {uint32_t{kCompressed}, count})
      for (int k = 0; k < 4; ++k) out.push_back(static_cast<uint8_t>(word >> (8 * k)));
    out.insert(out.end(), packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(size));
    at += 8 + bytes;
  }
  return out;
}

// The last variable's doubles, which end the file, as bytes.
Bytes with_bytes_as_numbers(Bytes file, const std::vector<double>& numbers) {
  constexpr uint32_t kUint8 = 2;
  size_t variable = 0;
  uint32_t bytes = 0;
  for (size_t at = 128; at + 8 <= file.size(); at += 8 + bytes) {
    variable = at;
    std::memcpy(&bytes, file.data() + at + 4, 4);
  }
  const size_t tag = file.size() - 8 * numbers.size() - 8;
  const auto count = static_cast<uint32_t>(numbers.size());
  std::memcpy(file.data() + tag, &kUint8, 4);
  std::memcpy(file.data() + tag + 4, &count, 4);
  file.resize(tag + 8);
  for (const double number : numbers) file.push_back(static_cast<uint8_t>(number));
  file.resize((file.size() + 7) / 8 * 8);
  bytes = static_cast<uint32_t>(file.size() - variable - 8);
  std::memcpy(file.data() + variable + 4, &bytes, 4);
  return file;
}

}  // namespace

Bytes matlab_list(const std::vector<std::string>& files, const std::vector<double>& labels, MatlabNumbers numbers) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "list.mat").string();
  {
    const std::unique_ptr<mat_t, int (*)(mat_t*)> mat(Mat_CreateVer(path.c_str(), nullptr, MAT_FT_MAT5), Mat_Close);
    size_t dims[2] = {files.size(), 1};
    matvar_t* cell = Mat_VarCreate("file_list", MAT_C_CELL, MAT_T_CELL, 2, dims, nullptr, 0);
    for (size_t i = 0; i < files.size(); ++i) {
      std::vector<uint16_t> text(files[i].begin(), files[i].end());  // MATLAB's characters
      size_t length[2] = {1, text.size()};
      Mat_VarSetCell(cell, static_cast<int>(i),
                     Mat_VarCreate(nullptr, MAT_C_CHAR, MAT_T_UINT16, 2, length, text.data(), 0));
    }
    std::vector<double> values = labels;
    std::vector<uint8_t> small(labels.begin(), labels.end());
    size_t count[2] = {values.size(), 1};
    matvar_t* column = numbers == MatlabNumbers::kUint8
                           ? Mat_VarCreate("labels", MAT_C_UINT8, MAT_T_UINT8, 2, count, small.data(), 0)
                           : Mat_VarCreate("labels", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, count, values.data(), 0);
    require(mat && Mat_VarWrite(mat.get(), cell, MAT_COMPRESSION_NONE) == 0 &&
                Mat_VarWrite(mat.get(), column, MAT_COMPRESSION_NONE) == 0,
            "cannot write a MATLAB file");
    Mat_VarFree(cell);
    Mat_VarFree(column);
  }
  Bytes file = read_all(path);
  if (numbers == MatlabNumbers::kDoubleAsBytes) file = with_bytes_as_numbers(file, labels);
  return packed_variables(file);
}

}  // namespace taut::test
