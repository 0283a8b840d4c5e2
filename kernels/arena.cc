// Best fit over free blocks ordered by (size, address), neighbours merged on release: the same sequence of requests
// gives the same addresses, and a step that repeats finds the blocks of the step before.
#include "kernels/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "kernels/error.h"
#include "kernels/simt/memory.h"

namespace taut {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlab = size_t{64} << 20;

using FreeByAddress = std::map<char*, size_t>;
using FreeBySize = std::set<std::pair<size_t, char*>>;

struct Block {
  size_t size = 0;     // with guards, a multiple of kAlign
  size_t payload = 0;  // what was asked for, where the block is guarded
  bool guarded = false;
  // Its entries of the lists of free blocks, kept for the time when it is free again: a release must not need memory.
  FreeByAddress::node_type by_address = {};
  FreeBySize::node_type by_size = {};
};

struct Arena {
  std::mutex mutex;
  bool poison = false;
  int64_t guard_faults = 0;
  FreeByAddress free_at;    // address -> size; never touching neighbours of one slab
  FreeBySize free_by_size;  // the same blocks
  std::unordered_map<char*, Block> used;
  std::set<char*> slab_begins;  // blocks of different slabs are never merged
  ArenaStats stats;

  // Throws where memory is out; nothing has changed then.
  void add_free(char* p, size_t n) {
    const auto it = free_at.emplace(p, n).first;
    try {
      free_by_size.emplace(n, p);
    } catch (...) {
      free_at.erase(it);
      throw;
    }
  }
  void take(Block& block, char* p, size_t n) {
    block.by_address = free_at.extract(p);
    block.by_size = free_by_size.extract({n, p});
  }
  void give_back(Block& block, char* p, size_t n) noexcept {
    block.by_address.key() = p;
    block.by_address.mapped() = n;
    block.by_size.value() = {n, p};
    free_at.insert(std::move(block.by_address));
    free_by_size.insert(std::move(block.by_size));
  }
  void drop_free(FreeByAddress::iterator it) {
    free_by_size.erase({it->second, it->first});
    free_at.erase(it);
  }

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
      slab_begins.insert(begin);
      add_free(begin, size);
    } catch (...) {
      slab_begins.erase(begin);
      munmap(raw, size + kHugePage);
      throw;
    }
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
  if (device.kind == DeviceKind::kSimt) return runner::allocate(bytes);
  if (device.kind == DeviceKind::kCuda) backend_not_built(device.kind);
  Arena& a = arena();
  if (bytes > (size_t{1} << 46)) fail(Exit::kMemory, "[arena] expected a size below 64 TiB, got {} bytes", bytes);
  const std::lock_guard lock(a.mutex);
  const size_t guards = a.poison ? 2 * kAlign : 0;
  const size_t size = std::max(kAlign, (bytes + guards + kAlign - 1) / kAlign * kAlign);
  auto fit = a.free_by_size.lower_bound({size, nullptr});
  if (fit == a.free_by_size.end()) {
    a.add_slab(size);
    fit = a.free_by_size.lower_bound({size, nullptr});
  }
  const auto [have, p] = *fit;
  const auto used = a.used.try_emplace(p).first;
  try {
    if (have > size) a.add_free(p + size, have - size);
  } catch (...) {
    a.used.erase(used);
    throw;
  }
  used->second.size = size;
  used->second.payload = bytes;
  used->second.guarded = a.poison;
  a.take(used->second, p, have);
  a.stats.in_use += static_cast<int64_t>(size);
  a.stats.peak = std::max(a.stats.peak, a.stats.in_use);
  if (!a.poison) return p;
  std::memset(p, 0xFF, size);
  return p + kAlign;
}

void arena_release(void* pointer, Device device) noexcept {
  if (pointer == nullptr) return;
  if (device.kind == DeviceKind::kSimt) return runner::release(pointer);
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  char* p = static_cast<char*>(pointer);
  auto it = a.used.find(p);
  if (it == a.used.end()) {  // the block begins with its guard
    p -= kAlign;
    it = a.used.find(p);
  }
  if (it->second.guarded && !guards_intact(p, it->second)) ++a.guard_faults;
  size_t size = it->second.size;
  Block block = std::move(it->second);
  a.used.erase(it);
  a.stats.in_use -= static_cast<int64_t>(size);
  auto after = a.free_at.lower_bound(p);
  if (after != a.free_at.end() && after->first == p + size && !a.slab_begins.contains(after->first)) {
    size += after->second;
    const auto gone = after++;
    a.drop_free(gone);
  }
  if (after != a.free_at.begin() && !a.slab_begins.contains(p)) {
    const auto before = std::prev(after);
    if (before->first + before->second == p) {
      p = before->first;
      size += before->second;
      a.drop_free(before);
    }
  }
  a.give_back(block, p, size);
}

ArenaStats arena_stats(Device device) {
  if (device.kind == DeviceKind::kSimt) return {runner::bytes_in_use(), runner::peak_bytes(), runner::bytes_in_use()};
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  return a.stats;
}

void reset_arena_peak(Device device) {
  if (device.kind == DeviceKind::kSimt) return runner::reset_peak();
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  a.stats.peak = a.stats.in_use;
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
