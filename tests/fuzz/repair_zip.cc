#include "tests/fuzz/repair_zip.h"

#include <zlib.h>

#include <cstring>

namespace taut::fuzz {
namespace {

template <class T>
T get(std::span<const uint8_t> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

void put(std::span<uint8_t> bytes, size_t at, uint32_t value) { std::memcpy(bytes.data() + at, &value, sizeof value); }

}  // namespace

void repair_checksums(std::span<uint8_t> bytes) {
  constexpr size_t kEnd = 22, kEntry = 46, kLocal = 30;
  if (bytes.size() < kEnd) return;
  size_t end = bytes.size() - kEnd;
  while (end > 0 && get<uint32_t>(bytes, end) != 0x06054b50) --end;
  if (get<uint32_t>(bytes, end) != 0x06054b50) return;
  for (size_t at = get<uint32_t>(bytes, end + 16); at < end && end - at >= kEntry;) {
    if (get<uint32_t>(bytes, at) != 0x02014b50) return;
    const size_t size = get<uint32_t>(bytes, at + 20), local = get<uint32_t>(bytes, at + 42);
    const bool stored = get<uint16_t>(bytes, at + 10) == 0;
    if (stored && local < at && at - local >= kLocal) {
      const size_t data = local + kLocal + get<uint16_t>(bytes, local + 26) + get<uint16_t>(bytes, local + 28);
      if (data <= at && size <= at - data) {
        const auto crc = static_cast<uint32_t>(::crc32_z(0, bytes.data() + data, size));
        put(bytes, at + 16, crc);
        if (get<uint32_t>(bytes, local + 14) != 0) put(bytes, local + 14, crc);
      }
    }
    at += kEntry + get<uint16_t>(bytes, at + 28) + get<uint16_t>(bytes, at + 30) + get<uint16_t>(bytes, at + 32);
  }
}

}  // namespace taut::fuzz
