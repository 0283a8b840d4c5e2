#include "kernels/simt/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <unordered_map>

#include "kernels/error.h"

namespace taut::runner {
namespace {

constexpr size_t kSize = kMemoryBytes;
constexpr size_t kAlign = 256;

template <class T>
T* reserve(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    fail(Exit::kMemory, "[simt] the system refused {} bytes of address space ({}); hint: ulimit -v", bytes,
         std::strerror(errno));
  return static_cast<T*>(p);
}

struct Heap {
  std::map<size_t, size_t> free;            // offset -> size, first fit: the same requests get the same addresses
  std::unordered_map<size_t, size_t> used;  // offset -> bytes asked for
  int64_t in_use = 0;
};

Heap& heap() {
  static Heap* h = [] {
    auto* fresh = new Heap;  // never destroyed, as the CPU's arena
    fresh->free.emplace(kSharedBytes, kSize - kSharedBytes);
    return fresh;
  }();
  return *h;
}

size_t whole_size(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign + kAlign; }

// Calls f(granule, mask of its bytes) for every granule that [begin, begin + bytes) touches; whole granules in a loop
// that the compiler turns into vectors, as every thread of a block asks for its shared memory.
template <class F>
void each_granule(const void* begin, size_t bytes, F f) {
  if (bytes == 0) return;
  const auto mask = [](size_t from, size_t to) {
    return static_cast<uint8_t>((0xFu << from) & (0xFu >> (kGranule - to)));
  };
  const auto first = reinterpret_cast<uintptr_t>(begin) - reinterpret_cast<uintptr_t>(memory().base);
  const size_t end = (first + bytes) / kGranule, head = first % kGranule, tail = (first + bytes) % kGranule;
  size_t g = first / kGranule;
  if (g == end) return f(g, mask(head, tail));
  if (head != 0) f(g++, mask(head, kGranule));
  for (; g < end; ++g) f(g, uint8_t{0xF});
  if (tail != 0) f(end, mask(0, tail));
}

}  // namespace

Memory& memory() {
  static Memory m = [] {
    Memory fresh;
    fresh.size = kSize;
    fresh.base = reserve<std::byte>(kSize);
    fresh.state = reserve<uint8_t>(kSize / kGranule);
    fresh.cells = reserve<Cell>(kSize / kGranule * sizeof(Cell));
    fresh.upper_cells = reserve<Cell>(kSize / kGranule * sizeof(Cell));
    return fresh;
  }();
  return m;
}

void* allocate(size_t bytes) {
  Memory& m = memory();
  Heap& h = heap();
  const size_t size = whole_size(bytes);
  const auto fit = std::find_if(h.free.begin(), h.free.end(), [&](const auto& block) { return block.second >= size; });
  if (bytes > kSize || fit == h.free.end())
    fail(Exit::kMemory, "[simt] out of device memory: asked for {} bytes, {} in use of {}", bytes, h.in_use, kSize);
  const auto [offset, have] = *fit;
  h.free.erase(fit);
  if (have > size) h.free.emplace(offset + size, have - size);
  h.used.emplace(offset, bytes);
  h.in_use += static_cast<int64_t>(size);
  std::byte* p = m.base + offset;
  set_exists(p, bytes, true);
  std::memset(p, 0xFF, bytes);  // a NaN in every floating type, should a detector be off
  return p;
}

void release(void* pointer) noexcept {
  Memory& m = memory();
  Heap& h = heap();
  const auto offset = static_cast<size_t>(static_cast<std::byte*>(pointer) - m.base);
  const auto it = h.used.find(offset);
  const size_t bytes = it->second;
  size_t size = whole_size(bytes), begin = offset;
  h.used.erase(it);
  h.in_use -= static_cast<int64_t>(size);
  set_exists(pointer, bytes, false);
  auto after = h.free.lower_bound(begin);
  if (after != h.free.end() && after->first == begin + size) {
    size += after->second;
    after = h.free.erase(after);
  }
  if (after != h.free.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      size += before->second;
      h.free.erase(before);
    }
  }
  h.free.emplace(begin, size);
}

int64_t bytes_in_use() { return heap().in_use; }

void set_exists(const void* begin, size_t bytes, bool exists) {
  uint8_t* state = memory().state;
  each_granule(begin, bytes, [&](size_t g, uint8_t mask) {
    const auto both = static_cast<uint8_t>(mask | mask << 4);
    state[g] = static_cast<uint8_t>(exists ? state[g] | mask : state[g] & ~both);
  });
}

void set_written(const void* begin, size_t bytes, bool written) {
  uint8_t* state = memory().state;
  each_granule(begin, bytes, [&](size_t g, uint8_t mask) {
    const auto high = static_cast<uint8_t>(mask << 4);
    state[g] = static_cast<uint8_t>(written ? state[g] | high : state[g] & ~high);
  });
}

bool exists(const void* begin, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(begin);
  if (bytes == 0) return true;
  if (!memory().contains(first) || !memory().contains(first + bytes - 1)) return false;
  const uint8_t* state = memory().state;
  bool all = true;
  each_granule(begin, bytes, [&](size_t g, uint8_t mask) { all = all && (state[g] & mask) == mask; });
  return all;
}

bool written(const void* begin, size_t bytes) {
  if (!exists(begin, bytes)) return false;
  const uint8_t* state = memory().state;
  bool all = true;
  each_granule(begin, bytes, [&](size_t g, uint8_t mask) { all = all && (state[g] >> 4 & mask) == mask; });
  return all;
}

}  // namespace taut::runner
