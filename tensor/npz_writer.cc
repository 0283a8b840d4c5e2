#include "tensor/npz_writer.h"

#include <zlib.h>

#include <set>

#include "tensor/atomic_file.h"
#include "tensor/safetensors.h"

namespace taut {
namespace {

constexpr std::pair<const char*, const char*> kTypes[] = {
    {"F32", "<f4"}, {"F16", "<f2"}, {"F64", "<f8"}, {"I32", "<i4"}, {"I64", "<i8"}, {"U8", "|u1"}, {"BOOL", "|b1"}};

void put(std::string& to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i));
}

// "\x93NUMPY", version 1.0, the header's length, the header, padded so that the elements begin at a multiple of 64.
std::string npy_header(const std::string& descr, const Shape& shape) {
  std::string sizes;
  for (const int64_t n : shape) sizes += (sizes.empty() ? "" : ", ") + std::to_string(n);
  if (shape.size() == 1) sizes += ",";
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, sizes);
  text.append(63 - (10 + text.size()) % 64, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  put(header, text.size(), 2);
  return header + text;
}

// What local header and directory share: versions, flags, method, time (1 January 1980), checksum, sizes, name length.
std::string zip_fields(uint32_t crc, uint64_t size, const std::string& name) {
  std::string fields;
  put(fields, 20, 2);
  put(fields, 0, 2);
  put(fields, 0, 2);
  put(fields, 0, 2);
  put(fields, 0x21, 2);
  put(fields, crc, 4);
  put(fields, size, 4);
  put(fields, size, 4);
  put(fields, name.size(), 2);
  put(fields, 0, 2);
  return fields;
}

}  // namespace

void write_npz(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
               const std::map<std::string, std::string>& dtypes) {
  std::vector<std::string> headers;  // local header, name and npy header of an entry
  std::vector<Tensor> values;
  std::string directory;
  std::set<std::string> seen;
  uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    TAUT_CHECK(seen.insert(name).second, "[{}] tensor '{}' is given twice", path, name);
    const auto it = dtypes.find(name);
    const std::string dtype = it == dtypes.end() ? safetensors_type(tensor.dtype()) : it->second;
    const char* descr = nullptr;
    for (const auto& [ours, numpys] : kTypes)
      if (dtype == ours) descr = numpys;
    TAUT_CHECK(
        descr != nullptr,
        "[{}] tensor '{}': expected F32, F64, F16, I32, I64, U8 or BOOL in an .npz, got {}; hint: write .safetensors",
        path, name, dtype);
    values.push_back(tensor.contiguous());
    const Tensor& t = values.back();
    const std::string npy = npy_header(descr, t.shape()), entry = name + ".npy";
    const auto bytes = static_cast<uint64_t>(t.bytes()), size = npy.size() + bytes;
    TAUT_CHECK(at + size + 1'000'000 < uint64_t{1} << 32, "[{}] an .npz of 4 GiB is not written; hint: .safetensors",
               path);
    auto crc = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(npy.data()), npy.size()));
    if (bytes > 0) crc = static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(t.raw()), bytes));
    const std::string fields = zip_fields(crc, size, entry);
    directory += std::string("PK\x01\x02\x14\x00", 6) + fields;
    put(directory, 0, 2);  // comment
    put(directory, 0, 2);  // disk
    put(directory, 0, 2);  // attributes
    put(directory, 0, 4);
    put(directory, at, 4);
    directory += entry;
    headers.push_back("PK\x03\x04" + fields + entry + npy);
    at += headers.back().size() + bytes;
  }
  std::string end("PK\x05\x06\0\0\0\0", 8);
  TAUT_CHECK(tensors.size() < 65535, "[{}] expected fewer than 65535 arrays, got {}", path, tensors.size());
  put(end, tensors.size(), 2);
  put(end, tensors.size(), 2);
  put(end, directory.size(), 4);
  put(end, at, 4);
  put(end, 0, 2);
  std::vector<std::span<const std::byte>> parts;
  for (size_t i = 0; i < headers.size(); ++i) {
    parts.push_back(std::as_bytes(std::span(headers[i].data(), headers[i].size())));
    parts.emplace_back(values[i].raw(), static_cast<size_t>(values[i].bytes()));
  }
  directory += end;
  parts.push_back(std::as_bytes(std::span(directory.data(), directory.size())));
  write_file_atomically(path, parts);
}

}  // namespace taut
