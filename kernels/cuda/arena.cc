#include "kernels/cuda/arena.h"

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/error.h"

namespace taut::TAUT_GPU {
namespace {

constexpr size_t kAlign = 256;
constexpr size_t kPage = size_t{2} << 20;  // in which a device hands out memory

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

cudaStream_t stream_of(int device) { return static_cast<cudaStream_t>(compute_stream(device).handle); }

}  // namespace

DeviceArena& arena_of(int device) {
  static std::mutex mutex;
  static auto* const all = new std::map<int, DeviceArena>;  // never destroyed: tensors in static storage may outlive it
  const std::lock_guard lock(mutex);
  return all->try_emplace(device, device).first->second;
}

void DeviceArena::add_slab(Pool& pool, size_t size, size_t asked) {
  if (pool_ != 0) {
    const auto [slab, have] = pools_[0].blocks.remove_free_slab(size);
    if (slab != nullptr) return pool.blocks.add_slab(slab, have);
  }
  size_t bytes = std::max(kSlab, size);
  void* begin = nullptr;
  cudaError_t status = cudaMalloc(&begin, bytes);
  if (status == cudaErrorMemoryAllocation) {
    // Slabs that nobody uses go back (those of a graph are its replays'), and nothing more than needed is asked for.
    cudaGetLastError();
    free_unused_slabs(pools_[0]);
    bytes = rounded(size, kPage);
    status = cudaMalloc(&begin, bytes);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail(Exit::kMemory,
         "[{}] cudaMalloc: out of memory: needed {} bytes, free {} of {} on device {}; this program has {} in use and "
         "{} reserved, the largest free block {}; hint: a smaller eval.batch or train.batch",
         kBackend, asked, free, total, device_, stats_.in_use, stats_.reserved, pool.blocks.largest_free());
  }
  check(status, "cudaMalloc");
  stats_.reserved += static_cast<int64_t>(bytes);
  pool.blocks.add_slab(static_cast<char*>(begin), bytes);
  twin_released(begin, bytes, stream_of(device_));
}

void DeviceArena::free_unused_slabs(Pool& pool) {
  while (true) {
    const auto [begin, size] = pool.blocks.remove_free_slab(0);
    if (begin == nullptr) return;
    check(cudaFree(begin), "cudaFree");
    stats_.reserved -= static_cast<int64_t>(size);
  }
}

// The common pool gets what nobody uses of another.
void DeviceArena::give_slabs_back(Pool& pool) {
  while (true) {
    const auto [begin, size] = pool.blocks.remove_free_slab(0);
    if (begin == nullptr) return;
    pools_[0].blocks.add_slab(begin, size);
  }
}

void* DeviceArena::allocate(size_t bytes) {
  if (bytes > (size_t{1} << 46))
    fail(Exit::kMemory, "[{}] expected a size below 64 TiB, got {} bytes", kBackend, bytes);
  use_device(device_);
  const std::lock_guard lock(mutex_);
  const bool guarded = red_zones_.on && pool_ == 0;
  const size_t before = guarded ? kAlign : 0;
  const size_t size = std::max(kAlign, rounded(bytes, kAlign)) + 2 * before + kGap;
  Pool& pool = pools_[pool_];
  BlockPool::Taken taken = pool.blocks.take(size);
  if (taken.block == nullptr) {
    add_slab(pool, size, bytes);
    taken = pool.blocks.take(size);
  }
  char* const p = taken.block + before;
  Canaries canaries;
  if (guarded) canaries = {red_zones_.next_canary(), before, bytes, size - kGap};
  try {
    if (guarded) {
      check(cudaMemsetAsync(p, 0xFF, bytes, stream_of(device_)), "cudaMemsetAsync");
      write_canaries(p, canaries);
    }
    Block& block = used_[p];
    block = {size, pool_, canaries, std::move(taken.entries)};
  } catch (...) {
    pool.blocks.give_back(std::move(taken), size);
    throw;
  }
  ++pool.out;
  stats_.in_use += static_cast<int64_t>(size);
  stats_.peak = std::max(stats_.peak, stats_.in_use);
  twin_allocated(p, bytes, stream_of(device_));
  return p;
}

void DeviceArena::release(void* pointer) noexcept {
  const std::lock_guard lock(mutex_);
  char* const p = static_cast<char*>(pointer);
  const auto it = used_.find(p);
  const size_t size = it->second.size;
  const uint64_t id = it->second.pool;
  const Canaries canaries = it->second.canaries;
  if (const auto fault = fault_of(p, canaries)) red_zones_.add(*fault);
  char* const begin = p - canaries.before;
  BlockPool::Taken taken{begin, std::move(it->second.entries)};
  used_.erase(it);
  stats_.in_use -= static_cast<int64_t>(size);
  Pool& pool = pools_[id];
  pool.blocks.give_back(std::move(taken), size);
  twin_released(begin, size, static_cast<cudaStream_t>(compute_stream(device_).handle));
  if (--pool.out > 0 || !pool.dropped) return;
  give_slabs_back(pool);
  pools_.erase(id);
}

ArenaStats DeviceArena::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void DeviceArena::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak = stats_.in_use;
}

void DeviceArena::write_canaries(char* p, const Canaries& c) const {
  std::vector<std::byte> front(c.before), back(c.size - c.before - c.bytes);
  c.write(front.data(), 0, c.before);
  c.write(back.data(), c.before + c.bytes, c.size);
  copy_from_host(p - c.before, front.data(), front.size(), device_);
  copy_from_host(p + c.bytes, back.data(), back.size(), device_);
}

// A device that failed has nothing more to say: its error comes from whoever asks for something next.
std::optional<RedZoneFault> DeviceArena::fault_of(const char* p, const Canaries& c) const {
  if (c.word == 0 || pool_ != 0) return {};
  try {
    std::vector<std::byte> front(c.before), back(c.size - c.before - c.bytes);
    copy_to_host(front.data(), p - c.before, front.size(), device_);
    copy_to_host(back.data(), p + c.bytes, back.size(), device_);
    const std::optional<int64_t> at = c.changed(front.data(), back.data());
    if (at) return RedZoneFault{p, c.bytes, *at};
  } catch (const std::exception&) {
  }
  return {};
}

void DeviceArena::set_red_zones(bool on) {
  const std::lock_guard lock(mutex_);
  red_zones_.turn(on);
  twin_watches_copies(!on);
}

std::vector<RedZoneFault> DeviceArena::take_red_zone_faults() {
  const std::lock_guard lock(mutex_);
  std::vector<RedZoneFault> all = red_zones_.take();
  for (const auto& [p, block] : used_)
    if (const auto fault = fault_of(p, block.canaries)) {
      all.push_back(*fault);
      write_canaries(p, block.canaries);
    }
  return all;
}

uint64_t DeviceArena::use_pool(uint64_t pool) noexcept {
  const std::lock_guard lock(mutex_);
  return std::exchange(pool_, pool);
}

void DeviceArena::drop_pool(uint64_t id) noexcept {
  const std::lock_guard lock(mutex_);
  const auto it = pools_.find(id);
  if (it == pools_.end()) return;
  Pool& pool = it->second;
  pool.dropped = true;
  if (pool.out > 0) return;
  give_slabs_back(pool);
  pools_.erase(it);
}

void* allocate(size_t bytes, int device) { return arena_of(device).allocate(bytes); }
void release(void* pointer, int device) noexcept { arena_of(device).release(pointer); }
ArenaStats memory_stats(int device) { return arena_of(device).stats(); }
void reset_memory_peak(int device) { arena_of(device).reset_peak(); }
void set_red_zones(bool on, int device) { arena_of(device).set_red_zones(on); }
std::vector<RedZoneFault> take_red_zone_faults(int device) { return arena_of(device).take_red_zone_faults(); }

}  // namespace taut::TAUT_GPU
