// Runs CUDA kernels on the CPU: every CUDA thread is a call, and becomes a fiber where it first has to wait.
//
// The threads of a block run one after the other on the caller's stack, as plain calls; the first that waits (at
// __syncthreads, or in a warp function) leaves its stack to wait there and the next goes on with a fresh one. A kernel
// that never waits never switches. Threads of a warp run in order; which warp goes on at a barrier is drawn from
// TAUT_SIMT_SEED. Blocks run one after the other.
//
// What is wrong with a kernel is found while it runs (kernels/simt/shadow.h) and thrown by `run_grid` as
// Error(kUnavailable) with the kernel, the threads and the lines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace taut::runner {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// What device code reads as threadIdx, blockIdx, blockDim, gridDim.
struct Words {
  Dim3 thread, block, block_size, grid_size;
};
extern Words words;

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;

// A position in the source, as the caller of a barrier sees it.
struct Place {
  const char* file = "";
  int line = 0;
  bool operator==(const Place& other) const { return line == other.line && file == other.file; }
};

// ---- host side ------------------------------------------------------------------------------------------------------

// Runs `call(argument)` once for every thread of the grid. `kernel` is the kernel's address, for messages.
void run_grid(const void* kernel, Dim3 grid, Dim3 block, size_t shared_bytes, void (*call)(void*), void* argument);

// What is watched while kernels run; everything is on unless TAUT_SIMT_DETECT=0.
void set_detectors(bool on);
bool detectors();
// Order of warps; also TAUT_SIMT_SEED.
void set_seed(uint64_t seed);

// Since the program began.
struct Totals {
  int64_t launches = 0, blocks = 0, threads = 0;
  int64_t switches = 0;        // from one stack to another
  int64_t barriers = 0;        // __syncthreads completed, counted a block
  int64_t warp_functions = 0;  // completed, counted a warp
};
const Totals& totals();

// Fused multiply-adds that kernels wrote as one (kernels/math.h), of a thread each.
extern int64_t fma_count;

// ---- device side ----------------------------------------------------------------------------------------------------

void block_barrier(Place place);  // __syncthreads

// A warp function: the lanes of `mask` bring `bytes` (<= kMaxExchange) from `in`; when all have come, `exchange` runs
// once over the 32 slots (those of the mask are filled) and every lane takes its slot of the results. Without an
// `exchange` it is a barrier, which orders memory; with one it orders none.
constexpr size_t kMaxExchange = 64;
struct Slot {
  alignas(16) std::byte bytes[kMaxExchange];
};
using Exchange = void (*)(unsigned mask, const Slot* in, Slot* out);
void warp_exchange(const char* what, unsigned mask, const void* in, size_t in_bytes, void* out, size_t out_bytes,
                   Exchange exchange, Place place);

int lane_id();
unsigned lanes_running();  // __activemask: the lanes of the warp that exist and have not returned

// The next `bytes` of the block's shared memory in the order in which a thread asks; every thread gets the same.
void* take_shared(size_t bytes, size_t* cursor);

}  // namespace taut::runner
