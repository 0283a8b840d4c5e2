// The ops that have a ladder: their sizes, inputs and rungs. One table, which every command over ladders reads.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/lab/peak.h"
#include "kernels/lab/rungs.h"

namespace taut::lab {

using Values = std::vector<float>;
using Sizes = std::array<int64_t, 6>;

// One op at given sizes, its inputs in host memory.
struct Problem {
  std::string shape;
  std::vector<Values> in;
  Values out;                 // what is there before; unwritten unless out_is_input
  bool out_is_input = false;  // worked on in place
  int64_t scratch = 0;        // floats
  LadderData data;            // sizes and numbers alone
  bool same_bytes = true;     // production gives the CPU's bytes on every device
  double flops = 0;           // operations of the plain formula
  Traffic traffic;            // inputs read once and outputs written once
};

struct LadderOp {
  const char* op;
  const char* sizes;  // their names: "m n k"
  Problem (*make)(const Sizes& sizes);
  void (*rungs)(Device device, Rungs* rungs);
  Sizes counted;  // small, since every thread is simulated
  Sizes timed;    // as a ViT-B/16 or a ResNet has them
  Sizes most;     // of random sizes
  std::vector<Sizes> edges;
};

const std::vector<LadderOp>& ladder_ops();
// Throws Error(kUsage) with the names there are.
const LadderOp& ladder_op(const std::string& op);
Rungs rungs_of(const LadderOp& op, Device device);

// Sizes by the name of a class: small (the counted ones), train, edge, random:N (drawn from `seed`). Throws
// Error(kUsage).
std::vector<Sizes> sizes_by_class(const LadderOp& op, const std::string& name, uint64_t seed);

}  // namespace taut::lab
