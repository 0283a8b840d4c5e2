// The CPU's arena; those of devices are kernels/cuda/arena.h.
#include "kernels/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/block_pool.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"
#include "kernels/fork.h"

namespace taut {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlab = size_t{64} << 20;

struct Block {
  size_t size = 0;     // with guards, a multiple of kAlign
  size_t payload = 0;  // what was asked for, where the block is guarded
  bool guarded = false;
  BlockPool::Entries entries;
};

struct Arena {
  std::mutex mutex;
  bool poison = false;
  int64_t guard_faults = 0;
  BlockPool blocks;
  std::vector<std::pair<char*, size_t>> slabs;  // kept for ever
  std::unordered_map<char*, Block> used;
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

bool guards_intact(const char* p, const Block& block) {
  const auto untouched = [](char c) { return c == '\xFF'; };
  return std::all_of(p, p + kAlign, untouched) && std::all_of(p + kAlign + block.payload, p + block.size, untouched);
}

}  // namespace

void* arena_allocate(size_t bytes, Device device) {
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, allocate(bytes, device.index));
  Arena& a = arena();
  if (bytes > (size_t{1} << 46)) fail(Exit::kMemory, "[arena] expected a size below 64 TiB, got {} bytes", bytes);
  const std::lock_guard lock(a.mutex);
  const size_t guards = a.poison ? 2 * kAlign : 0;
  const size_t size = std::max(kAlign, (bytes + guards + kAlign - 1) / kAlign * kAlign);
  BlockPool::Taken taken = a.blocks.take(size);
  if (taken.block == nullptr) {
    a.add_slab(size);
    taken = a.blocks.take(size);
  }
  char* const p = taken.block;
  try {
    Block& block = a.used[p];
    block = {size, bytes, a.poison, std::move(taken.entries)};
  } catch (...) {
    a.blocks.give_back(std::move(taken), size);
    throw;
  }
  a.stats.in_use += static_cast<int64_t>(size);
  a.stats.peak = std::max(a.stats.peak, a.stats.in_use);
  if (!a.poison) return p;
  std::memset(p, 0xFF, size);
  return p + kAlign;
}

void arena_release(void* pointer, Device device) noexcept {
  if (pointer == nullptr) return;
  if (device.kind != DeviceKind::kCpu) return TAUT_ON_GPU(device, release(pointer, device.index));
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  char* p = static_cast<char*>(pointer);
  auto it = a.used.find(p);
  if (it == a.used.end()) {  // the block begins with its guard
    p -= kAlign;
    it = a.used.find(p);
  }
  if (it->second.guarded && !guards_intact(p, it->second)) ++a.guard_faults;
  const size_t size = it->second.size;
  BlockPool::Taken taken{p, std::move(it->second.entries)};
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

void set_arena_poison(bool on) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  a.poison = on;
}

int64_t arena_guard_faults() {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  return a.guard_faults;
}

}  // namespace taut
