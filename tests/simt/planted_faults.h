// Planted faults for the detectors of the SIMT runner, each with a faultless twin.
#pragma once

#include <string>
#include <vector>

namespace taut::simt {

struct PlantedFault {
  std::string fault;  // as name(runner::Fault)
  std::string kernel;
  bool planted = false;  // false: the twin
  unsigned blocks = 1;
  bool needs_zeros = false;  // y must hold zeros
};
std::vector<PlantedFault> planted_faults();

// Runs one over x (64 floats, written) and y (64 floats, fresh), both device memory. Throws what the launch finds.
void run_planted_fault(const PlantedFault& fault, const float* x, float* y);

}  // namespace taut::simt
