// What the runner knows about every access of device code, and what it finds: accesses outside live memory, misaligned
// ones, reads of what nobody wrote, and races (two threads, one of them writing, no barrier between).
//
// Two accesses are ordered if one thread made them, if a block barrier that both threads took lies between, or a
// __syncwarp that both lanes took. Shuffles, votes and products of fragments order no memory, as CUDA says of them.
// Accesses of different blocks of a launch are never ordered.
//
// Kept of a word is its last write and who has read it since (kernels/simt/memory.h), halves of it apart. That is all
// a later access can race with, but for threads that read single bytes of a half, and lanes that read a word on both
// sides of several __syncwarp of some lanes only: of those a race can be missed; none is ever made up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/simt/runner.h"

namespace taut::runner {

enum class Fault : uint8_t { kRace, kDivergentBarrier, kOutOfBounds, kMisaligned, kUninitialised };
const char* name(Fault fault);  // "race", "divergent-barrier", "out-of-bounds", "misaligned", "uninitialised"

struct Finding {
  Fault fault;
  std::string text;
  uintptr_t site = 0, other_site = 0;  // the access and, in a race, the one before it
};

// Findings of the launches since the last call; a launch with findings throws, and leaves them here for a test.
std::vector<Finding> take_findings();

// ---- between the parts of the runner --------------------------------------------------------------------------------

enum class Access : uint8_t { kRead, kWrite, kAtomic };

// An access of the running thread to `bytes` bytes at `address`; `site` is the code's own address.
void check_access(uintptr_t address, size_t bytes, Access access, uintptr_t site);
// One finding a fault and pair of sites, of each launch: a mistake is usually made by every thread.
void add_finding(Fault fault, std::string text, uintptr_t site = 0, uintptr_t other_site = 0);
// Ends the launch from whatever stack is running.
[[noreturn]] void abandon_launch();

// Leaves the accounting of an access that never returns.
void leave_hook();
// An access that no instruction of the compiled code makes: of an atomic function, a matrix load, an asynchronous copy.
void note_access(const void* pointer, size_t bytes, Access kind, void* site, bool counts);

// Of a warp: its last __syncwarp of all lanes and of some only, and since when neither it nor the block met.
struct WarpClock {
  uint64_t synced = 0, parted = 0, began = 0;
};

// Where the running thread stands among the others, for the order of accesses.
struct Standing {
  // In the grid: the running thread, the first of its block and of its warp.
  uint32_t thread = 0, block_first = 0, warp_first = 0;
  uint32_t block_threads = 1;
  uint64_t now = 1;  // the runner's clock: one more with every barrier of a block or a warp
  uint64_t launch_began = 0, block_began = 0, last_barrier = 0;
  const WarpClock* warp = nullptr;
  const uint64_t* pair_synced = nullptr;  // of this lane with each of the 32
  bool on_callers_stack = true;
  uintptr_t callers_frame = 0;  // frames of the launch lie above it
};
extern Standing standing;
extern bool watching;   // a kernel runs, and is watched or counted
extern bool detecting;  // and detectors are on

void begin_watching();
void throw_findings(const std::string& kernel);  // of the launch that just ended, if there are any
bool is_fiber_stack(uintptr_t address);
std::string describe_thread(uint32_t thread);

}  // namespace taut::runner
