// Ladders: an op in numbered variants, naive to production, each better than the one before in a count that it names.
// Every rung is validated before it is counted; production is the kernel that training uses, as a row of its own table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/runtime.h"

namespace taut::lab {

// What a rung is given: device memory, sizes and numbers, as the ladder's table in ladder.cc says.
struct LadderData {
  const float* in[6] = {};
  float* out = nullptr;
  float* scratch = nullptr;
  int64_t size[6] = {};
  float number[2] = {};
};

// The exact count in which a rung is better than the one before.
enum class LadderCount : uint8_t { kSectors, kWavefronts, kBarriers, kRequests };
const char* name(LadderCount count);  // "sectors", "wavefronts", "barriers", "requests"

struct Rung {
  const char* idea;    // what is new, in a line
  LadderCount better;  // the first rung's says what is worst about it
  bool production;
  void (*run)(Stream, const LadderData&);
};
struct Rungs {
  const Rung* list;
  int count;
};

struct LadderRow {
  std::string op, shape;
  int rung = 1;
  std::string idea;
  bool production = false;
  bool verified = false;  // the CPU's numbers: the same bytes for production, within rounding for the others
  std::string better;     // the count it names
  bool is_better = true;  // than the rung before in that count
  int64_t launches = 0;
  int64_t requests = 0;       // memory instructions of a warp
  int64_t sectors = 0;        // of 32 bytes of global memory
  double sector_percent = 0;  // the fewest sectors that hold as much, of those touched
  int64_t wavefronts = 0;     // passes over the banks of shared memory
  int64_t barriers = 0;       // __syncthreads, a block
};

std::vector<std::string> ladder_names();
// Runs the ladder of an op (one of ladder_names) on the SIMT runner and counts. Throws Error(kUsage) on another name.
std::vector<LadderRow> run_ladder(const std::string& op);

}  // namespace taut::lab

namespace taut {

BOTH_BACKENDS(lab::Rungs softmax_rungs(); lab::Rungs layer_norm_rungs(); lab::Rungs matmul_rungs();
              lab::Rungs attention_rungs(); lab::Rungs conv2d_rungs(); lab::Rungs phm_linear_rungs();
              lab::Rungs pgd_step_rungs();)  // the CPU has none

}  // namespace taut
