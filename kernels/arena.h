// The tensor allocator: slabs of huge pages, kept and reused, so that a training step touches no fresh memory after the
// first (first touch is ten times slower than reuse: measured on Zen 4, docs/measurements.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/runtime.h"

namespace taut {

struct ArenaStats {
  int64_t in_use = 0;    // bytes handed out now
  int64_t peak = 0;      // most bytes handed out since reset_arena_peak
  int64_t reserved = 0;  // bytes of slabs held from the system
};

// 64-byte aligned memory of a device, undefined contents; size 0 gives a valid unique pointer. Thread-safe. Throws
// Error(kMemory) with the sizes asked for, in use and reserved, Error(kUnavailable) for a device this build does not
// have.
void* arena_allocate(size_t bytes, Device device = {});
void arena_release(void* pointer, Device device = {}) noexcept;

ArenaStats arena_stats(Device device = {});
void reset_arena_peak(Device device = {});

}  // namespace taut
