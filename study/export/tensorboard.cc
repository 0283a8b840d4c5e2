#include "study/export/tensorboard.h"

#include <array>
#include <cstring>
#include <set>

#include "study/export/export.h"
#include "study/export/runs.h"

namespace taut::study {
namespace {

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}();

std::string little_endian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

// Protocol buffers' wire format: a field's number and type as one number, seven bits a byte.
enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::string key(uint32_t field, Wire wire) { return varint(field << 3 | static_cast<uint32_t>(wire)); }

std::string bytes_field(uint32_t field, std::string_view bytes) {
  return key(field, Wire::kBytes) + varint(bytes.size()) + std::string(bytes);
}

template <class To, class From>
To bits_of(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// What a run without an attack writes, too, measured on images as they are.
bool is_of_attack(const std::string& metric) {
  return metric.starts_with("robust_") || metric == "mean_loss_adv" || metric == "max_perturbation" ||
         metric == "zero_gradient_share";
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t c = 0xFFFFFFFFu;
  for (const char b : bytes) c = kTable[(c ^ static_cast<uint8_t>(b)) & 0xFF] ^ (c >> 8);
  return c ^ 0xFFFFFFFFu;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t c = crc32c(bytes);
  return (c >> 15 | c << 17) + 0xA282EAD8u;
}

std::string tfrecord(std::string_view payload) {
  const std::string length = little_endian(payload.size(), 8);
  return length + little_endian(masked_crc32c(length), 4) + std::string(payload) +
         little_endian(masked_crc32c(payload), 4);
}

// Event: 1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary; Summary: 1 value; Value: 1 tag,
// 2 simple_value (float).
std::string version_event() { return key(1, Wire::kFixed64) + little_endian(0, 8) + bytes_field(3, "brain.Event:2"); }

std::string scalar_event(int64_t step, std::string_view tag, float value) {
  const std::string entry = bytes_field(1, tag) + key(2, Wire::kFixed32) + little_endian(bits_of<uint32_t>(value), 4);
  return key(1, Wire::kFixed64) + little_endian(0, 8) + key(2, Wire::kVarint) + varint(static_cast<uint64_t>(step)) +
         bytes_field(5, bytes_field(1, entry));
}

void export_tensorboard(Database& store, const ExportSink& sink) {
  std::set<std::string> folders;
  for (const StoredRun& run : stored_runs(store)) {
    if (run.state != "done") continue;
    std::string events = tfrecord(version_event());
    Statement metrics = store.prepare(
        "SELECT step, split, name, value FROM metric WHERE run_id = ? AND value IS NOT NULL ORDER BY step, split, "
        "name");
    metrics.bind({run.run_id});
    while (metrics.step()) {
      const SqlRow m = metrics.row();
      if (!run.attacked() && is_of_attack(text_of(m[2]))) continue;
      events += tfrecord(
          scalar_event(integer_of(m[0]), text_of(m[1]) + "/" + text_of(m[2]), static_cast<float>(number_of(m[3]))));
    }
    std::string folder = file_name(run.run_id);
    while (!folders.insert(folder).second) folder += "_";
    sink(folder + "/events.out.tfevents.0000000000.tautline", events);
  }
}

}  // namespace taut::study
