// Builders of files as text strings, honest and otherwise.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace taut::fuzz {

// A number's little-endian bytes.
template <class T>
std::string le(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

// A safetensors file: the header's length (true unless given), the header, `data` bytes counting up.
std::string safetensors(const std::string& header, size_t data, std::optional<uint64_t> length = {});

// An entry of a zip archive. What is not given is the truth.
struct ZipItem {
  std::string name, data;
  bool deflate = false;
  bool zip64 = false;           // sizes in the zip64 field of both headers
  bool sizes_follow = false;    // as a stream writer does: local sizes 0, flag 8, a descriptor behind the data
  uint16_t flags = 0;           // further ones
  uint16_t method = 0xFFFF;     // 0xFFFF: 0 or 8, as `deflate` says
  uint32_t attributes = 0;      // external ones, of a Unix writer
  std::string local_name = {};  // in the local header; empty: the same
  std::optional<uint32_t> crc = {};
  std::optional<uint64_t> packed = {}, size = {};  // as the directory gives them
  std::optional<uint64_t> header = {};             // where the directory says its local header is
};
struct ZipShape {
  bool zip64_end = false;  // with a zip64 end record
  std::optional<uint64_t> entries = {}, size = {},
                          begin = {};      // what the end record says of the directory (the zip64 one if present)
  std::optional<uint16_t> entries32 = {};  // what the plain one says beside a zip64 one
  std::string behind = {};                 // bytes behind the end record, in no comment
};
std::string deflated(const std::string& data);  // without zlib's header
std::string zip(const std::vector<ZipItem>& items, const ZipShape& shape = {});

// A NumPy array: a header's text padded as NumPy does, and `data` bytes counting up.
std::string npy(const std::string& header, size_t data, int version = 1);
std::string npy_header(const std::string& descr, const std::string& shape, const std::string& order = "False");

}  // namespace taut::fuzz
