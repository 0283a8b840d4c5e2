#include "kernels/simt/shadow.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/sites.h"

namespace taut::runner {
namespace {

constexpr size_t kMostFindings = 8;  // of a launch

std::vector<Finding>& findings() {
  static std::vector<Finding> list;
  return list;
}
size_t findings_thrown = 0;

Memory* device_memory = nullptr;  // memory(), without the guard of its static

bool known(Fault fault, uintptr_t site, uintptr_t other_site = 0) {
  const std::vector<Finding>& all = findings();
  return std::any_of(all.begin() + static_cast<std::ptrdiff_t>(findings_thrown), all.end(), [&](const Finding& f) {
    return f.fault == fault && f.site == site && f.other_site == other_site;
  });
}

// Whether something orders the touch before the running thread's next access.
inline bool ordered(const Touch& touch, uint64_t floor) {
  if (touch.when < floor) return true;  // of an earlier launch, or an earlier block's shared memory
  if (touch.thread == standing.thread) return true;
  const uint32_t t = touch.thread - standing.block_first, me = standing.thread - standing.block_first;
  if (t >= standing.block_threads) return false;
  if (touch.when < standing.last_barrier) return true;
  if (t / kWarp != me / kWarp) return false;
  return touch.when < std::max(standing.warp_synced, standing.pair_synced[t % kWarp]);
}

const char* verb(bool write, bool atomic) { return atomic ? "updated atomically" : write ? "wrote" : "read"; }

void report_race(uintptr_t address, const Touch& touch, bool touch_writes, Access access, uintptr_t site) {
  if (known(Fault::kRace, site, from_short(touch.site))) return;
  const bool shared = address - reinterpret_cast<uintptr_t>(memory().base) < kSharedBytes;
  add_finding(Fault::kRace,
              fmt::format("a word of {} memory: {} {} it at {}, {} {} it at {}, and nothing orders the two",
                          shared ? "shared" : "global", describe_thread(touch.thread), verb(touch_writes, touch.atomic),
                          describe_site(from_short(touch.site)), describe_thread(standing.thread),
                          verb(access == Access::kWrite, access == Access::kAtomic), describe_site(site)),
              site, from_short(touch.site));
}

inline void race_check(uintptr_t granule_address, Cell& cell, uint64_t bytes, Access access, uintptr_t site,
                       uint64_t floor) {
  const bool atomic = access == Access::kAtomic;
  const Touch now{standing.now, bytes, atomic, 0, standing.thread, to_short(site)};
  const auto conflicts = [&](const Touch& other) {
    return !ordered(other, floor) && (other.bytes & bytes) != 0 && !(atomic && other.atomic);
  };
  if (conflicts(cell.write)) report_race(granule_address, cell.write, true, access, site);
  if (access == Access::kRead) {
    if (cell.read[0].thread == now.thread || ordered(cell.read[0], floor))
      cell.read[0] = now;
    else
      cell.read[1] = now;
    return;
  }
  for (const Touch& read : cell.read)
    if (conflicts(read)) report_race(granule_address, read, false, access, site);
  cell.write = now;
}

[[gnu::noinline]] void report_missing(uintptr_t address, size_t bytes, Access access, bool shared, uintptr_t site) {
  add_finding(Fault::kOutOfBounds,
              fmt::format("{} {} {} bytes at {:#x} of {} memory, outside every live allocation, at {}",
                          describe_thread(standing.thread), verb(access == Access::kWrite, false), bytes, address,
                          shared ? "shared" : "global", describe_site(site)));
  abandon_launch();
}

[[gnu::noinline]] void report_uninitialised(size_t bytes, bool shared, uintptr_t site) {
  if (known(Fault::kUninitialised, site)) return;
  add_finding(Fault::kUninitialised,
              fmt::format("{} read {} bytes of {} memory that nobody wrote, at {}", describe_thread(standing.thread),
                          bytes, shared ? "shared" : "global", describe_site(site)),
              site);
}

inline void check_device_access(Memory& m, uintptr_t address, size_t bytes, Access access, uintptr_t site) {
  const bool shared = address - reinterpret_cast<uintptr_t>(m.base) < kSharedBytes;
  const uint64_t floor = shared ? standing.block_began : standing.launch_began;
  for (uintptr_t at = address, end = address + bytes; at < end;) {
    const size_t g = m.granule(at);
    const unsigned from = static_cast<unsigned>(at % kGranule);
    const auto to = static_cast<unsigned>(std::min<uintptr_t>(kGranule, end - at + from));
    const unsigned mask = (0xFu << from) & (0xFu >> (kGranule - to));
    uint8_t& state = m.state[g];
    if ((state & mask) != mask) report_missing(address, bytes, access, shared, site);
    if (access != Access::kWrite && (state >> 4 & mask) != mask) report_uninitialised(bytes, shared, site);
    if (access != Access::kRead) state = static_cast<uint8_t>(state | mask << 4);
    race_check(at, m.cells[g], mask, access, site, floor);
    at += to - from;
  }
}

}  // namespace

const char* name(Fault fault) {
  switch (fault) {
    case Fault::kRace: return "race";
    case Fault::kDivergentBarrier: return "divergent-barrier";
    case Fault::kOutOfBounds: return "out-of-bounds";
    case Fault::kMisaligned: return "misaligned";
    case Fault::kUninitialised: return "uninitialised";
  }
  return "?";
}

void begin_watching() { device_memory = &memory(); }

std::vector<Finding> take_findings() {
  findings_thrown = 0;
  return std::exchange(findings(), {});
}

void add_finding(Fault fault, std::string text, uintptr_t site, uintptr_t other_site) {
  std::vector<Finding>& all = findings();
  if (all.size() < findings_thrown + kMostFindings) all.push_back({fault, std::move(text), site, other_site});
}

void throw_findings(const std::string& kernel) {
  const std::vector<Finding>& all = findings();
  if (all.size() == findings_thrown) return;
  std::string text = fmt::format("[simt] {}:", kernel);
  for (size_t i = findings_thrown; i < all.size(); ++i)
    text += fmt::format("{} {}: {}", i == findings_thrown ? "" : ";", name(all[i].fault), all[i].text);
  findings_thrown = all.size();
  fail(Exit::kCheckFailed, "{}", text);
}

void check_access(uintptr_t address, size_t bytes, Access access, uintptr_t site) {
  constexpr size_t kWidest = 16;  // of one instruction; more is an array, which g++ tells of as one range
  if (bytes <= kWidest && (address & (bytes - 1)) != 0 && (bytes & (bytes - 1)) == 0) {
    add_finding(Fault::kMisaligned, fmt::format("{} {} {} bytes at {:#x}, which they do not divide, at {}",
                                                describe_thread(standing.thread), verb(access == Access::kWrite, false),
                                                bytes, address, describe_site(site)));
    abandon_launch();
  }
  Memory& m = *device_memory;
  if (m.contains(address)) return check_device_access(m, address, bytes, access, site);
  // The thread's own variables, and what the launch hands over by value.
  if (is_fiber_stack(address)) return;
  if (standing.on_callers_stack && address < standing.callers_frame &&
      address >= reinterpret_cast<uintptr_t>(__builtin_frame_address(0)))
    return;
  if (access == Access::kRead && is_constant(address)) return;
  add_finding(Fault::kOutOfBounds,
              fmt::format("{} {} {} bytes at {:#x}, which is host memory, at {}", describe_thread(standing.thread),
                          verb(access == Access::kWrite, false), bytes, address, describe_site(site)));
  abandon_launch();
}

}  // namespace taut::runner
