// What a plan costs: images, passes and FLOPs by counting; hours on this machine by a short measurement, on a GPU by
// stated assumption.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "study/output.h"
#include "study/run/cost.h"

namespace taut::study {

struct RowCost {
  std::optional<RunCost> counted;  // nothing where nobody knows how many images there are
  double flops = 0;                // 2 x multiply-adds of `counted`, as `taut bench model` counts them
  std::optional<double> seconds;   // on this machine, where it was measured
};

struct PlanCost {
  std::vector<RowCost> rows;          // of the plan's rows
  std::vector<std::string> unknown;   // data sets whose images nobody knows, one sentence each
  std::vector<std::string> measured;  // what was timed, one sentence each
  double images() const, passes() const, flops() const;
  std::optional<double> seconds() const;  // nothing where a row lacks them
};

// Counts from the data where they are here, else from what is known of them.
PlanCost count_plan(const Plan& plan);

// Times a forward pass, a step of the attack and an update of every model of the plan, and fills the rows' seconds.
// Decoding, waiting for disks and writing are not in them. Throws Error(kUnavailable) in a debug build.
void measure_plan(const Plan& plan, Device device, PlanCost& cost);

// A GPU of the data sheets, and which fraction of its peak is assumed to be sustained over a whole run.
struct Gpu {
  std::string name, title;
  struct Mode {
    const char* dtype;
    double peak_flops, fraction;
  };
  std::vector<Mode> modes;
};
std::vector<std::string> gpu_names();
// Throws Error(kUsage) naming the nearest. `fraction` > 0 replaces the assumed ones.
Gpu gpu_by_name(const std::string& name, double fraction);
double gpu_seconds(const Gpu::Mode& mode, double flops);

}  // namespace taut::study
