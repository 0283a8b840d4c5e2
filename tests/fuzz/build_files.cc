#include "tests/fuzz/build_files.h"

#include <zlib.h>

#include <algorithm>

#include "tests/deflate.h"

namespace taut::fuzz {
namespace {

std::string counting(size_t count) {
  std::string bytes(count, '\0');
  if (count > 1) bytes[1] = '\1';  // 0 1 0 1 ...: also valid as BOOL
  // In ever longer pieces: an input of the fuzzers may stand for a mebibyte, and every step of a loop is traced.
  for (size_t done = 2; done < count; done *= 2) std::memcpy(&bytes[done], bytes.data(), std::min(done, count - done));
  return bytes;
}

uint32_t u32(uint64_t value) { return static_cast<uint32_t>(value); }
uint16_t u16(uint64_t value) { return static_cast<uint16_t>(value); }

}  // namespace

std::string safetensors(const std::string& header, size_t data, std::optional<uint64_t> length) {
  return le(length.value_or(header.size())) + header + counting(data);
}

std::string deflated(const std::string& data) { return test::deflated_with(data, 9, -MAX_WBITS); }

std::string zip(const std::vector<ZipItem>& items, const ZipShape& shape) {
  constexpr uint32_t kIn64 = 0xFFFFFFFF;
  std::string file, directory;
  for (const ZipItem& item : items) {
    const std::string data = item.deflate ? deflated(item.data) : item.data;
    const uint16_t method = item.method != 0xFFFF ? item.method : item.deflate ? 8 : 0;
    const uint16_t flags = u16(item.flags | (item.sizes_follow ? 8 : 0));
    const uint32_t crc = item.crc.value_or(
        u32(::crc32(0, reinterpret_cast<const Bytef*>(item.data.data()), static_cast<uInt>(item.data.size()))));
    const uint64_t packed = item.packed.value_or(data.size()), size = item.size.value_or(item.data.size());
    const uint64_t header = item.header.value_or(file.size());
    const std::string field64 = item.zip64 ? le<uint16_t>(1) + le<uint16_t>(16) + le(size) + le(packed) : "";
    const std::string sizes = item.zip64 ? le(kIn64) + le(kIn64) : le(u32(packed)) + le(u32(size));
    const std::string start = le<uint16_t>(20) + le(flags) + le(method) + le<uint32_t>(0);
    const std::string lengths = le(u16(item.name.size())) + le(u16(field64.size()));
    const std::string& local_name = item.local_name.empty() ? item.name : item.local_name;
    file += le<uint32_t>(0x04034b50) + start + (item.sizes_follow ? std::string(12, '\0') : le(crc) + sizes) +
            le(u16(local_name.size())) + le(u16(field64.size())) + local_name + field64 + data;
    if (item.sizes_follow) file += le<uint32_t>(0x08074b50) + le(crc) + le(u32(packed)) + le(u32(size));
    directory += le<uint32_t>(0x02014b50) + le<uint16_t>(item.attributes ? 0x314 : 0) + start + le(crc) + sizes +
                 lengths + le<uint16_t>(0) + le<uint16_t>(0) + le<uint16_t>(0) + le(item.attributes) + le(u32(header)) +
                 item.name + field64;
  }
  const uint64_t begin = shape.begin.value_or(file.size()), size = shape.size.value_or(directory.size());
  const uint64_t entries = shape.entries.value_or(items.size());
  file += directory;
  const uint64_t end64 = file.size();
  if (shape.zip64_end)
    file += le<uint32_t>(0x06064b50) + le<uint64_t>(44) + le<uint16_t>(45) + le<uint16_t>(45) + le<uint32_t>(0) +
            le<uint32_t>(0) + le(entries) + le(entries) + le(size) + le(begin) + le<uint32_t>(0x07064b50) +
            le<uint32_t>(0) + le(end64) + le<uint32_t>(1);
  const uint16_t plain = shape.entries32.value_or(shape.zip64_end ? 0xFFFF : u16(entries));
  file += le<uint32_t>(0x06054b50) + le<uint32_t>(0) + le(plain) + le(plain) + le(shape.zip64_end ? kIn64 : u32(size)) +
          le(shape.zip64_end ? kIn64 : u32(begin)) + le<uint16_t>(0);
  return file + shape.behind;
}

std::string npy_header(const std::string& descr, const std::string& shape, const std::string& order) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

std::string npy(const std::string& header, size_t data, int version) {
  const size_t preamble = version == 1 ? 10 : 12;
  const std::string padded = header + std::string(63 - (preamble + header.size()) % 64, ' ') + "\n";
  return "\x93NUMPY" + std::string{static_cast<char>(version), '\0'} +
         (version == 1 ? le(u16(padded.size())) : le(u32(padded.size()))) + padded + counting(data);
}

}  // namespace taut::fuzz
