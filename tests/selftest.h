// What the command offers as `taut selftest`: plain functions that return rows; formatting is the command's.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/runtime.h"
#include "tensor/dtype.h"

namespace taut::selftest {

using Row = nlohmann::ordered_json;

// Called with the number of cases done, how many there are, and the next one's name.
using Progress = std::function<void(int64_t done, int64_t all, const std::string& name)>;

// Runs the op cases whose `OP/CASE` contains a match of the regular expression `filter` ("" takes all). Fields: `op`,
// `case`, `status` (pass, fail), `max_error`, `limit` (relative to the largest magnitude), `dtype`, `repro`, `detail`
// (what failed, else empty). Where the device is not there, a row a case with `status` skipped and the reason as
// `detail`. Throws Error(kUsage) on a bad expression or one that matches nothing.
std::vector<Row> run_op_cases(Device device, const std::string& filter = "", const Progress& progress = {});

// Runs the planted faults of the SIMT runner's detectors and their faultless twins. Fields: `fault`, `kernel`,
// `planted`, `status` (pass: caught, or a twin left alone), `detail` (what the runner said).
std::vector<Row> run_planted_faults();

// Runs the largest case of an op, or the case that `filter` chooses (OP or OP/CASE, a regular expression), forward and
// backward in f32 on the SIMT runner, and says of each kernel what was counted, what ptxas knows (where nvcc is), and
// what a model of the GPU makes of it. Fields: `kernel`, `source`, `case`, `gpu`, `launches`, `blocks`, `threads`,
// `shared_bytes`, `registers`, `spill_bytes` (null where nvcc is not), `occupancy_percent`, `occupancy_limiter`,
// `requests`, `sectors`, `sector_percent`, `bytes_moved` and `bytes_minimum` of global memory, `wavefronts`,
// `conflict_percent`, `active_lanes`, `barriers`, `fmas`, `bound_microseconds`, `limiter`.
std::vector<Row> profile_ops(const std::string& filter, const std::string& gpu);

// Times the cases that `filter` chooses in f32: `op`, `case`, `pass` (forward, forward+backward), `milliseconds`
// (median), `gflops` (0 where a case states no FLOPs), `gb_per_second` (inputs read once and outputs written once).
std::vector<Row> bench_op_cases(Device device, const std::string& filter = "");

// Runs every *.safetensors file of a folder of golden cases, in order of name. Fields: `case`, `kind`, `status` (pass,
// fail, unsupported), `max_error`, `limit`, `detail`. Throws Error(kMissing) where there is no such folder or no case
// in it.
std::vector<Row> run_golden(const std::string& folder, DType dtype = DType::kF64, const Progress& progress = {});

// 0 if every row passed or is unsupported with a `case` or `kind` that contains a match of `allow_unsupported` (nothing
// is allowed if it is empty), kSkipped if every row was skipped, else 1.
constexpr int kSkipped = 77;
int exit_code(const std::vector<Row>& rows, const std::string& allow_unsupported = "");

}  // namespace taut::selftest
