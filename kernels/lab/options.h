// What is asked of the lab, between the command and the op cases that it works on.
#pragma once

#include <string>
#include <vector>

#include "kernels/runtime.h"

namespace taut::lab {

struct BenchOptions {
  Device device = {};
  std::string filter;                      // regular expression over OP/CASE; with shapes the op
  std::vector<std::string> shapes{};       // instead of cases
  std::string sizes{};                     // of every case those of a class (tests/cases/choice.h)
  std::vector<std::string> dtypes{"f32"};  // and tf32, bf16
  bool every_case = false;                 // else of each op the largest
  bool warm = true, cold = false;
  bool timed = false;    // on the SIMT runner: times, not counts
  double seconds = 0.5;  // of samples, for each row
};

struct ProfileOptions {
  std::string filter;  // regular expression over OP/CASE, or the op of a rung
  int rung = 0;        // of the op's ladder; 0: of each op that matches the largest case and some for other kernels
  std::string gpu = "h100";
  bool sites = false;  // a row for every access instead of every kernel
  bool ask_nvcc = true;
};

}  // namespace taut::lab
