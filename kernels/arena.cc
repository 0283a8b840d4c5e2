// The CPU's arena; those of devices are kernels/cuda/arena.h.
#include "kernels/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/block_pool.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
#include "kernels/fork.h"
#include "kernels/red_zones.h"

namespace taut {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlab = size_t{64} << 20;

struct Block {
  size_t size = 0;  // with canaries, a multiple of kAlign
  Canaries canaries;
  BlockPool::Entries entries;
};

struct Arena {
  std::mutex mutex;
  RedZoneState red_zones;
  BlockPool blocks;
  std::vector<std::pair<char*, size_t>> slabs;  // kept for ever
  std::unordered_map<char*, Block> used;        // by what was handed out, which lies behind the first canary
  ArenaStats stats;

  void add_slab(size_t bytes) {
    const size_t size = std::max(kSlab, (bytes + kHugePage - 1) / kHugePage * kHugePage);
    // One huge page more than needed, so that the slab can start on a huge-page boundary.
    void* raw = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
      fail(Exit::kMemory, "[arena] out of memory: asked the system for {} bytes, {} in use, {} reserved ({})", size,
           stats.in_use, stats.reserved, std::strerror(errno));
    const auto address = reinterpret_cast<uintptr_t>(raw);
    char* begin = reinterpret_cast<char*>((address + kHugePage - 1) / kHugePage * kHugePage);
    madvise(begin, size, MADV_HUGEPAGE);  // advice only: without huge pages everything works, slower
    try {
      slabs.reserve(slabs.size() + 1);
      blocks.add_slab(begin, size);
    } catch (...) {
      munmap(raw, size + kHugePage);
      throw;
    }
    slabs.emplace_back(begin, size);
    stats.reserved += static_cast<int64_t>(size);
  }
};

Arena& arena() {
  static Arena* a = new Arena;  // never destroyed: tensors in static storage may outlive any order of destruction
  return *a;
}

// Writes beside the memory at `p`.
std::optional<RedZoneFault> fault_of(char* p, const Canaries& c) {
  if (c.word == 0) return {};
  const auto* const memory = reinterpret_cast<const std::byte*>(p);
  const std::optional<int64_t> at = c.changed(memory - c.before, memory + c.bytes);
  if (!at) return {};
  return RedZoneFault{p, c.bytes, *at};
}

void write_canaries(char* p, const Canaries& c) {
  auto* const memory = reinterpret_cast<std::byte*>(p);
  c.write(memory - c.before, 0, c.before);
  c.write(memory + c.bytes, c.before + c.bytes, c.size);
}

}  // namespace

void* arena_allocate(size_t bytes, Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, allocate(bytes, device.index));
  Arena& a = arena();
  if (bytes > (size_t{1} << 46)) fail(Exit::kMemory, "[arena] expected a size below 64 TiB, got {} bytes", bytes);
  const std::lock_guard lock(a.mutex);
  const size_t before = a.red_zones.on ? kAlign : 0;
  const size_t size = std::max(kAlign, (bytes + 2 * before + kAlign - 1) / kAlign * kAlign);
  BlockPool::Taken taken = a.blocks.take(size);
  if (taken.block == nullptr) {
    a.add_slab(size);
    taken = a.blocks.take(size);
  }
  char* const p = taken.block + before;
  Canaries canaries;
  if (before > 0) canaries = {a.red_zones.next_canary(), before, bytes, size};
  try {
    Block& block = a.used[p];
    block = {size, canaries, std::move(taken.entries)};
  } catch (...) {
    a.blocks.give_back(std::move(taken), size);
    throw;
  }
  a.stats.in_use += static_cast<int64_t>(size);
  a.stats.peak = std::max(a.stats.peak, a.stats.in_use);
  if (before > 0) {
    std::memset(p, 0xFF, bytes);
    write_canaries(p, canaries);
  }
  return p;
}

void arena_release(void* pointer, Device device) noexcept {
  if (pointer == nullptr) return;
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, release(pointer, device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  char* const p = static_cast<char*>(pointer);
  const auto it = a.used.find(p);
  const Canaries canaries = it->second.canaries;
  if (const auto fault = fault_of(p, canaries)) a.red_zones.add(*fault);
  const size_t size = it->second.size;
  BlockPool::Taken taken{p - canaries.before, std::move(it->second.entries)};
  a.used.erase(it);
  a.stats.in_use -= static_cast<int64_t>(size);
  a.blocks.give_back(std::move(taken), size);
}

ArenaStats arena_stats(Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, memory_stats(device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  return a.stats;
}

void reset_arena_peak(Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, reset_memory_peak(device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  a.stats.peak = a.stats.in_use;
}

pid_t fork_without_tensors() {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  const auto advise = [&](int advice) {
    for (const auto& [begin, size] : a.slabs) madvise(begin, size, advice);
  };
  advise(MADV_DONTFORK);
  const pid_t child = ::fork();
  if (child == 0) return child;
  const int reason = errno;
  advise(MADV_DOFORK);
  errno = reason;
  return child;
}

void set_red_zones(bool on, Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, set_red_zones(on, device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  a.red_zones.turn(on);
}

std::vector<RedZoneFault> take_red_zone_faults(Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, take_red_zone_faults(device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  std::vector<RedZoneFault> all = a.red_zones.take();
  for (const auto& [p, block] : a.used)
    if (const auto fault = fault_of(p, block.canaries)) {
      all.push_back(*fault);
      write_canaries(p, block.canaries);
    }
  return all;
}

}  // namespace taut
