// The arena of one device: slabs from cudaMalloc, kept and reused, so that the addresses of a step that repeats repeat.
// Blocks are handed out in the order of the compute stream: what is released may be used again by the next kernel.
//
// A graph (kernels/graph.h) has a pool of its own: while it records, allocations come from there, and no other may have
// them as long as the graph lives, since its replays write to them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernels/arena.h"
#include "kernels/block_pool.h"
#include "kernels/red_zones.h"
#include "kernels/runtime.h"

namespace taut::TAUT_GPU {

class DeviceArena {
 public:
  explicit DeviceArena(int device) : device_(device) {}

  void* allocate(size_t bytes);
  void release(void* pointer) noexcept;
  ArenaStats stats();
  void reset_peak();

  // kernels/red_zones.h. A graph's memory has none, and while one is recorded none are looked at.
  void set_red_zones(bool on);
  std::vector<RedZoneFault> take_red_zone_faults();

  // Allocations come from `pool` (0: everybody's) until the next call; returns the one before.
  uint64_t use_pool(uint64_t pool) noexcept;
  // The pool's memory is everybody's again, once the blocks that are still out are released.
  void drop_pool(uint64_t pool) noexcept;

 private:
  struct Pool {
    BlockPool blocks;
    int64_t out = 0;  // blocks handed out
    bool dropped = false;
  };
  struct Block {
    size_t size = 0;
    uint64_t pool = 0;
    Canaries canaries;
    BlockPool::Entries entries;
  };
  void add_slab(Pool& pool, size_t size, size_t asked);
  void free_unused_slabs(Pool& pool);
  void give_slabs_back(Pool& pool);
  void write_canaries(char* p, const Canaries& canaries) const;
  std::optional<RedZoneFault> fault_of(const char* p, const Canaries& canaries) const;

  const int device_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Pool> pools_;
  uint64_t pool_ = 0;
  RedZoneState red_zones_;
  std::unordered_map<char*, Block> used_;  // by what was handed out, which lies behind the first canary
  ArenaStats stats_;
};

DeviceArena& arena_of(int device);

}  // namespace taut::TAUT_GPU
