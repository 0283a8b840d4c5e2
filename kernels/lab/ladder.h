// Ladders: an op in numbered variants, naive to production, each better than the one before in what it names: an exact
// count on the SIMT runner, a tenth of the time elsewhere. Every rung is validated before it is counted or timed;
// production is the kernel that training uses, as a row of its own table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/lab/problems.h"
#include "kernels/simt/counts.h"

namespace taut::lab {

const char* name(LadderCount count);  // "sectors", "wavefronts", "barriers", "requests", "time"

struct LadderOptions {
  int rung = 0;                     // 0: every one
  std::optional<Sizes> sizes = {};  // else the op's own: small ones where it is counted, a model's where it is timed
  // The SIMT runner is timed instead of counted: no GPU's times, but all that the host does for them.
  bool timed = false;
};

struct LadderRow {
  std::string op, shape;
  Sizes sizes = {};
  int rung = 1;
  std::string idea;
  bool production = false;
  bool verified = false;  // the CPU's numbers: its bytes for production, within rounding for the others
  std::string better;     // what it names; empty for the first row, which has none to be better than
  bool is_better = true;  // than the rung before in that
  // on the SIMT runner
  int64_t launches = 0;
  int64_t requests = 0;         // memory instructions of a warp
  int64_t sectors = 0;          // of 32 bytes of global memory
  double sector_percent = 100;  // the fewest sectors that hold as much, of those touched
  int64_t wavefronts = 0;       // passes over the banks of shared memory
  int64_t barriers = 0;         // __syncthreads, a block
  // elsewhere
  double milliseconds = 0, noise_percent = 0;  // median, interquartile range over it
  double p10_milliseconds = 0, p90_milliseconds = 0;
  double gflops = 0, gb_per_second = 0;   // of the plain formula; of inputs read once and outputs written once
  std::optional<double> percent_of_peak;  // of what the peaks of the same run allow, kernels/lab/peak.h
  // The vendor's library on the same problem; empty and nothing where it has no such op or is not here.
  std::string vendor;
  std::optional<double> vendor_milliseconds, percent_of_vendor;  // of its rate
};

// Runs the ladder of an op on a device: counted on the SIMT runner, timed elsewhere. On the CPU, whose production
// kernel is the reference of everything, production is held against the first rung. The vendor's library is validated
// as a rung is, and where its numbers are wrong left out with a line on standard error. Throws Error(kUsage) on a
// rung that the op does not have, Error(kUnavailable) for a device this build does not have.
std::vector<LadderRow> run_ladder(const LadderOp& op, Device device, const LadderOptions& options = {});

// Throws Error(kUsage) where the ladder has no such rung on the device; it has all of them, 0.
void expect_rung(const LadderOp& op, Device device, int rung);

struct RungCheck {
  std::string op, shape;
  int rung = 1;
  bool production = false, pass = false;
  double error = 0, limit = 0;  // of the largest magnitude; limit 0: the same bytes
  std::string detail{};         // what is wrong; empty for a pass
};
struct VerifyOptions {
  int rung = 0;                 // 0: every one
  std::string sizes = "small";  // a class of them (kernels/lab/problems.h)
  uint64_t seed = 1;            // of random sizes
  bool red_zones = false;       // around all that a rung gets (kernels/red_zones.h)
};
// Validates the rungs of an op.
std::vector<RungCheck> verify_ladder(const LadderOp& op, Device device, const VerifyOptions& options = {});

// What the SIMT runner counts of one rung at the counted sizes. Throws Error(kUsage) where there is no such rung.
std::vector<runner::KernelCounts> count_rung(const std::string& op, int rung);

}  // namespace taut::lab
