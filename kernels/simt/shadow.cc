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

// Whatever was before `floor` comes before every access from now on: in shared memory what lies before the block's last
// barrier, in global memory what lies before the launch.

// Whether something orders the write before the running thread's next access.
inline bool ordered(const Touch& write, uint64_t floor) {
  if (write.when < floor) return true;
  if (write.thread == standing.thread) return true;
  if (write.thread - standing.block_first >= standing.block_threads) return false;
  if (write.when < standing.last_barrier) return true;
  const uint32_t lane = write.thread - standing.warp_first;
  return lane < kWarp && write.when < std::max(standing.warp->synced, standing.pair_synced[lane]);
}

inline bool in_my_warp(const Readers& r) { return r.thread - standing.warp_first < kWarp; }

// The lanes whose reads nothing orders before the running thread's next access.
inline uint32_t unordered(const Readers& r, uint64_t floor) {
  if (r.when < floor) return 0;
  if (r.thread - standing.block_first >= standing.block_threads) return r.lanes;
  if (r.when < standing.last_barrier) return 0;
  if (!in_my_warp(r)) return r.lanes;
  if (r.when < standing.warp->synced) return 0;
  uint32_t lanes = r.lanes & ~(1u << (standing.thread - standing.warp_first));
  if (r.when < standing.warp->parted)
    for (uint32_t rest = lanes; rest != 0; rest &= rest - 1)
      if (r.when < standing.pair_synced[__builtin_ctz(rest)]) lanes &= ~(rest & -rest);
  return lanes;
}

const char* verb(Access access) {
  return access == Access::kAtomic ? "updated atomically" : access == Access::kWrite ? "wrote" : "read";
}

[[gnu::noinline]] void report_race(uintptr_t address, uint32_t thread, Access before, uint32_t short_site,
                                   Access access, uintptr_t site) {
  const uintptr_t other = from_short(short_site);
  if (known(Fault::kRace, site, other)) return;
  const bool shared = address - reinterpret_cast<uintptr_t>(memory().base) < kSharedBytes;
  add_finding(Fault::kRace,
              fmt::format("a word of {} memory: {} {} it at {}, {} {} it at {}, and nothing orders the two",
                          shared ? "shared" : "global", describe_thread(thread), verb(before), describe_site(other),
                          describe_thread(standing.thread), verb(access), describe_site(site)),
              site, other);
}

// Against what is kept in a cell.
inline void find_races(uintptr_t address, const Cell& cell, uint64_t bytes, Access access, uintptr_t site,
                       uint64_t floor) {
  if (!ordered(cell.write, floor) && (cell.write.bytes & bytes) != 0)
    report_race(address, cell.write.thread, Access::kWrite, cell.write.site, access, site);
  if (access == Access::kRead && !cell.write.updated) return;
  for (const Readers& r : cell.read) {
    if ((r.bytes & bytes) == 0 || access == (r.atomic ? Access::kAtomic : Access::kRead)) continue;
    const uint32_t lanes = unordered(r, floor);
    if (lanes == 0) continue;
    const uint32_t one = in_my_warp(r) ? standing.warp_first + static_cast<uint32_t>(__builtin_ctz(lanes)) : r.thread;
    report_race(address, one, r.atomic ? Access::kAtomic : Access::kRead, r.site, access, site);
  }
}

inline void keep_reader(Cell& cell, const Readers& mine, uint64_t floor) {
  const auto like_mine = [&](const Readers& r) { return r.atomic == mine.atomic && r.bytes == mine.bytes; };
  const auto covered = [&](const Readers& r) { return r.atomic == mine.atomic && (r.bytes & ~mine.bytes) == 0; };
  for (Readers& r : cell.read) {
    if (in_my_warp(r) && r.when >= standing.warp->began && like_mine(r)) {
      r.lanes |= mine.lanes;
      return;
    }
    // What comes before this access comes before whatever this one comes before.
    if (r.when < floor || (covered(r) && unordered(r, floor) == 0)) {
      r = mine;
      return;
    }
  }
  Readers &first = cell.read[0], &second = cell.read[1];
  const auto warp = [](const Readers& r) { return (r.thread - standing.block_first) / kWarp; };
  if (like_mine(first) && like_mine(second) && warp(first) != warp(second)) return;
  if (covered(second))
    second = mine;
  else if (covered(first))
    first = mine;
}

inline void keep(Cell& cell, uint64_t bytes, Access access, uintptr_t site, uint64_t floor) {
  if (access == Access::kWrite) {
    const bool updated = cell.write.updated && (cell.write.bytes & ~bytes) != 0;
    cell.write = {standing.now, bytes, cell.write.split, updated, 0, standing.thread, to_short(site)};
    for (Readers& r : cell.read) {
      r.bytes &= ~bytes;
      if (r.bytes == 0) r.when = 0;
    }
    return;
  }
  const bool atomic = access == Access::kAtomic;
  if (atomic) cell.write.updated = 1;
  const uint32_t lane = standing.thread - standing.warp_first;
  keep_reader(cell, {standing.now, bytes, atomic, 0, standing.thread, to_short(site), 1u << lane}, floor);
}

constexpr uint64_t kLower = 0x3, kUpper = 0xC, kWhole = 0xF;  // bytes of a granule

// Gives the granule's upper half a cell of its own.
void split(Cell& cell, Cell& upper) {
  upper = cell;
  cell.write.split = 1;
  for (auto [half, bytes] : {std::pair{&cell, kLower}, std::pair{&upper, kUpper}}) {
    half->write.bytes &= bytes;
    for (Readers& r : half->read) r.bytes &= bytes;
  }
}

inline bool is_of_the_past(const Cell& cell, uint64_t floor) {
  return cell.write.when < floor && cell.read[0].when < floor && cell.read[1].when < floor;
}

inline void race_check(uintptr_t address, Memory& m, uint64_t bytes, Access access, uintptr_t site, uint64_t floor) {
  const size_t g = m.granule(address);
  Cell& cell = m.cells[g];
  if (bytes == kWhole) {
    if (cell.write.split) {
      Cell& upper = m.upper_cells[g];
      find_races(address, upper, bytes, access, site, floor);
      if (access == Access::kWrite || (is_of_the_past(cell, floor) && is_of_the_past(upper, floor)))
        cell.write.split = 0;
      else
        keep(upper, kUpper, access, site, floor);
    }
    find_races(address, cell, bytes, access, site, floor);
    return keep(cell, cell.write.split ? kLower : kWhole, access, site, floor);
  }
  Cell& upper = m.upper_cells[g];
  if (!cell.write.split) split(cell, upper);
  const auto visit = [&](Cell& half, uint64_t mine) {
    find_races(address, half, mine, access, site, floor);
    keep(half, mine, access, site, floor);
  };
  if ((bytes & kLower) != 0) visit(cell, bytes & kLower);
  if ((bytes & kUpper) != 0) visit(upper, bytes & kUpper);
}

[[gnu::noinline]] void report_missing(uintptr_t address, size_t bytes, Access access, bool shared, uintptr_t site) {
  add_finding(Fault::kOutOfBounds,
              fmt::format("{} {} {} bytes at {:#x} of {} memory, outside every live allocation, at {}",
                          describe_thread(standing.thread), verb(access), bytes, address, shared ? "shared" : "global",
                          describe_site(site)));
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
  const uint64_t floor = shared ? std::max(standing.block_began, standing.last_barrier) : standing.launch_began;
  for (uintptr_t at = address, end = address + bytes; at < end;) {
    const size_t g = m.granule(at);
    const unsigned from = static_cast<unsigned>(at % kGranule);
    const auto to = static_cast<unsigned>(std::min<uintptr_t>(kGranule, end - at + from));
    const unsigned mask = (0xFu << from) & (0xFu >> (kGranule - to));
    uint8_t& state = m.state[g];
    if ((state & mask) != mask) report_missing(address, bytes, access, shared, site);
    if (access != Access::kWrite && (state >> 4 & mask) != mask) report_uninitialised(bytes, shared, site);
    if (access != Access::kRead) state = static_cast<uint8_t>(state | mask << 4);
    race_check(at, m, mask, access, site, floor);
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
    add_finding(Fault::kMisaligned,
                fmt::format("{} {} {} bytes at {:#x}, which they do not divide, at {}",
                            describe_thread(standing.thread), verb(access), bytes, address, describe_site(site)));
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
                          verb(access), bytes, address, describe_site(site)));
  abandon_launch();
}

}  // namespace taut::runner
