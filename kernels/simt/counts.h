// What a profiler counts, from the accesses that the runner sees: the k-th time the lanes of a warp pass one access
// instruction between two barriers is one request of the warp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/simt/runner.h"

namespace taut::runner {

// One instruction of a kernel that reads or writes memory.
struct SiteCounts {
  std::string site;  // "kernels/norm.cu:57"
  bool shared = false, write = false;
  int bytes = 0;              // of one thread
  int64_t requests = 0;       // of a warp
  int64_t lanes = 0;          // that took part, summed over requests
  int64_t sectors = 0;        // of 32 bytes, global memory
  int64_t ideal_sectors = 0;  // the fewest that hold as many bytes
  int64_t wavefronts = 0;     // passes over the banks, shared memory
  int64_t ideal_wavefronts = 0;

  // Sums of a kernel's sites.
  void add(const SiteCounts& other) {
    requests += other.requests;
    lanes += other.lanes;
    sectors += other.sectors;
    ideal_sectors += other.ideal_sectors;
    wavefronts += other.wavefronts;
    ideal_wavefronts += other.ideal_wavefronts;
  }
};
struct KernelCounts {
  std::string kernel;
  int64_t launches = 0, blocks = 0, barriers = 0;  // barriers: __syncthreads completed, a block
  int64_t warp_functions = 0;                      // completed, a warp
  int64_t switches = 0;                            // of the runner, from one stack to another
  int threads = 0;                                 // of a block, as in the last launch
  int64_t shared_bytes = 0;                        // of a block, likewise
  int64_t fmas = 0;                                // of a thread each
  int64_t tensor_products = 0, tensor_fmas = 0;    // of tensor cores: instructions, and their multiply-adds
  int64_t touched_sectors = 0;                     // different ones of global memory in a launch, summed over launches
  std::vector<SiteCounts> sites;
};

// Counting is off until asked for; the counts of the kernels since then, sorted by kernel and site.
void start_counts();
std::vector<KernelCounts> take_counts();

// ---- between the parts of the runner --------------------------------------------------------------------------------

extern bool counting;
void count_access(uintptr_t address, size_t bytes, bool write, uintptr_t site);
void begin_counting(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes);
void finish_warp_segment();  // the lanes of the warp have all come to a barrier
void end_counting(const Totals& before, const Totals& after, int64_t fmas, int64_t tensor_products,
                  int64_t tensor_fmas);

}  // namespace taut::runner
