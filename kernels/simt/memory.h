// The device memory of the SIMT runner: one reserved range of addresses in which every byte knows whether it belongs to
// a live allocation and whether anybody wrote it, and every word who touched it last.
//
// The first part of the range is the shared memory of the block that runs; the rest is handed out by simt_allocate with
// a gap between allocations. A granule is four bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace taut::runner {

constexpr size_t kGranule = 4;
constexpr size_t kMemoryBytes = size_t{1} << 35;  // of addresses; pages that nobody touches cost nothing
constexpr size_t kSharedBytes = size_t{1} << 18;  // room for the largest shared memory of a block, with gaps

// One access that may conflict with a later one: when (the runner's clock), which bytes of the granule, by whom, where.
struct Touch {
  uint64_t when : 52;
  uint64_t bytes : 4;
  uint64_t atomic : 1;
  uint64_t unused : 7;
  uint32_t thread;  // number of the thread in the grid
  uint32_t site;    // return address of the access, relative to the program
};
// Two readers: a later writer differs from at least one of two different readers.
struct Cell {
  Touch write, read[2];
};

// State of a granule: the low four bits say which bytes exist, the high four which were written.
struct Memory {
  std::byte* base = nullptr;
  size_t size = 0;
  uint8_t* state = nullptr;  // one per granule
  Cell* cells = nullptr;     // one per granule

  bool contains(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(base) < size; }
  size_t granule(uintptr_t address) const { return (address - reinterpret_cast<uintptr_t>(base)) / kGranule; }
};

// Reserved on first use; throws Error(kMemory) where the system refuses the addresses.
Memory& memory();

// 256-byte aligned device memory that nobody wrote; a gap of at least 256 bytes follows. Throws Error(kMemory).
void* allocate(size_t bytes);
void release(void* pointer) noexcept;
int64_t bytes_in_use();

// Marks bytes as existing or not (of shared memory), as written (by the host), as unwritten.
void set_exists(const void* begin, size_t bytes, bool exists);
void set_written(const void* begin, size_t bytes, bool written);
// Whether all of these bytes exist, and whether all were written; host memory does not exist.
bool exists(const void* begin, size_t bytes);
bool written(const void* begin, size_t bytes);

}  // namespace taut::runner
