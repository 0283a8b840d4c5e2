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

// The last write of a granule: when (the runner's clock), which of its bytes, by whom, where.
struct Touch {
  uint64_t when : 52;
  uint64_t bytes : 4;
  uint64_t split : 1;    // the granule's upper half has a cell of its own
  uint64_t updated : 1;  // one of the cell's readers updated the granule atomically
  uint64_t unused : 6;
  uint32_t thread;  // number of the thread in the grid
  uint32_t site;    // return address of the access, relative to the program
};
// Lanes of one warp that read the same bytes of a granule (or updated them atomically) with no barrier of the warp
// between; when, by whom and where the first of them did.
struct Readers {
  uint64_t when : 52;  // 0: none
  uint64_t bytes : 4;
  uint64_t atomic : 1;
  uint64_t unused : 7;
  uint32_t thread;
  uint32_t site;
  uint32_t lanes;
};
// Readers of two warps are as good as of all: a writer differs from one of them in its warp, and no barrier of a warp
// lies between. A cache line.
struct alignas(64) Cell {
  Touch write;
  Readers read[2];
};

// State of a granule: the low four bits say which bytes exist, the high four which were written.
struct Memory {
  std::byte* base = nullptr;
  size_t size = 0;
  uint8_t* state = nullptr;  // one per granule
  Cell* cells = nullptr;     // one per granule, and one for accesses of a granule's upper half alone
  Cell* upper_cells = nullptr;

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
