// Red zones, for tests and `taut kernel verify --redzone`: while they are on for a device, its arena fills fresh memory
// with 0xFF bytes (a NaN in every floating type) and puts a canary on either side, which is looked at when somebody
// asks and when the memory is released. What a kernel reads beside its memory is a NaN, too, and what it writes there
// is found.
//
// A canary is one word of 16 bits over and over, a NaN in every floating type, another in neighbouring allocations: a
// copy that runs too far writes one canary over another and is found all the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/runtime.h"

namespace taut {

// An allocation beside which somebody wrote.
struct RedZoneFault {
  const void* memory = nullptr;
  size_t bytes = 0;       // that were asked for
  int64_t at = 0;         // the byte written nearest to it: below 0 before it, `bytes` or above behind it
  bool released = false;  // so that `memory` may be somebody else's by now
};

void set_red_zones(bool on, Device device = {});
// Of everything that is alive now, or was released since the last call. Each is told once, at most kMostFaults of what
// was released.
std::vector<RedZoneFault> take_red_zone_faults(Device device = {});

// On as long as it lives.
class RedZones {
 public:
  explicit RedZones(Device device) : device_(device) { set_red_zones(true, device); }
  ~RedZones() { set_red_zones(false, device_); }
  RedZones(const RedZones&) = delete;
  RedZones& operator=(const RedZones&) = delete;
  Device device() const { return device_; }

 private:
  Device device_;
};

// ---- for the arenas -------------------------------------------------------------------------------------------------

// One arena's: whether they are on, the next canary, what was found.
struct RedZoneState {
  static constexpr size_t kMostFaults = 64;
  bool on = false;

  void turn(bool to) {
    faults_.reserve(kMostFaults);
    on = to;
  }
  uint16_t next_canary() { return static_cast<uint16_t>(0xFFF1 + serial_++ % 13); }
  // Of what was released.
  std::vector<RedZoneFault> take() {
    std::vector<RedZoneFault> all(faults_.begin(), faults_.end());
    faults_.clear();
    return all;
  }
  // Needs no memory: releasing does not fail.
  void add(const RedZoneFault& fault) noexcept {
    if (faults_.size() == faults_.capacity()) return;
    faults_.push_back(fault);
    faults_.back().released = true;
  }

 private:
  uint64_t serial_ = 0;
  std::vector<RedZoneFault> faults_;
};

// A block of an arena with its canaries: `before` bytes of canary, `bytes` of somebody's memory, canary up to `size`.
struct Canaries {
  uint16_t word = 0;  // 0: there are none
  size_t before = 0, bytes = 0, size = 0;

  std::byte byte_at(size_t i) const { return static_cast<std::byte>(i % 2 == 0 ? word & 0xFF : word >> 8); }
  // `canary` is, or becomes, that from byte `begin` of the block to byte `end`.
  void write(std::byte* canary, size_t begin, size_t end) const {
    for (size_t i = begin; i < end; ++i) canary[i - begin] = byte_at(i);
  }
  // Where the canary in front of the memory and the one behind it changed, as RedZoneFault::at.
  std::optional<int64_t> changed(const std::byte* front, const std::byte* back) const {
    for (size_t i = before; i-- > 0;)
      if (front[i] != byte_at(i)) return static_cast<int64_t>(i) - static_cast<int64_t>(before);
    for (size_t i = before + bytes; i < size; ++i)
      if (back[i - before - bytes] != byte_at(i)) return static_cast<int64_t>(i - before);
    return {};
  }
};

}  // namespace taut
