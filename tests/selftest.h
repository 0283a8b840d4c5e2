// What the command offers as `taut selftest`: plain functions that return rows; formatting is the command's.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/lab/kernel_source.h"
#include "kernels/lab/options.h"
#include "kernels/runtime.h"
#include "tensor/dtype.h"

namespace taut::selftest {

using Row = nlohmann::ordered_json;

// Called with the number of cases done, how many there are, and the next one's name.
using Progress = std::function<void(int64_t done, int64_t all, const std::string& name)>;

// Runs the op cases whose `OP/CASE` contains a match of the regular expression `filter` ("" takes all). Fields: `op`,
// `case`, `status` (pass, fail), `max_error`, `limit` (relative to the largest magnitude), `dtype` (f64, f32, tf32,
// bf16), `repro`, `detail` (what failed, else empty). Where the device is not there, a row a case with `status` skipped
// and the reason as `detail`. Throws Error(kUsage) on a bad expression or one that matches nothing. `sizes`
// (tests/cases/choice.h), where it is not empty, leaves out the cases of other classes of sizes, all of them perhaps.
// `red_zones` puts them around the device's memory, too (kernels/red_zones.h); the host's has them anyway.
std::vector<Row> run_op_cases(Device device, const std::string& filter = "", const Progress& progress = {},
                              const std::string& sizes = "", bool red_zones = false);

// Runs the planted faults of the SIMT runner's detectors and their faultless twins. Fields: `fault`, `kernel`,
// `planted`, `status` (pass: caught, or a twin left alone), `detail` (what the runner said).
std::vector<Row> run_planted_faults();

// Runs the cases of each op that `filter` matches (tests/cases/profiled.h), forward and backward, or a rung of an op's
// ladder, on the SIMT runner, and says of each kernel what was counted, what ptxas knows (where nvcc is), and what a
// model of the GPU makes of it. Fields: `kernel`, `source`, `case`, `gpu`, `launches`, `blocks`, `threads`,
// `shared_bytes`, `registers`, `spill_bytes` and the version of `nvcc` that they are of (null where nvcc is not),
// `occupancy_percent`, `occupancy_limiter`, `requests`, `sectors`, `ideal_sectors`, `sector_percent`, `bytes_moved` and
// `bytes_minimum` of global memory, `wavefronts`, `ideal_wavefronts`, `conflict_percent`, `active_lanes`, `barriers`,
// `warp_functions`, `switches` (of the runner between stacks), `fmas`, `bound_microseconds`, `limiter`. With `sites`, a
// row for every access of the source instead: `site`, `memory`, `access`, `bytes` and its counts.
std::vector<Row> profile_ops(const lab::ProfileOptions& options);
// Where those kernels are written.
std::vector<lab::KernelSource> kernel_sources(const lab::ProfileOptions& options);

// Times cases, or an op at free shapes (tests/cases/shape_case.h): `op`, `case`, `dtype` (f32, tf32, bf16), `pass`
// (forward, forward+backward), `device`, `caches` (warm, or cold: inputs flushed before every call), `threads`,
// `samples`, `milliseconds` (median, and `min_`, `p10_` and `p90_`), `noise_percent` (interquartile range over the
// median), `gflops` (of the plain formula; one operation for each number that comes out where a case states none),
// `gb_per_second` (inputs read once, outputs written once), `flops_per_byte`, the peaks of the same run (`peak_gflops`:
// the CPU's f32 multiply-adds, a GPU's matrix rate in this dtype; `memory_gb_per_second`: reads and writes in the
// case's proportion, on a GPU a copy) and `percent_of_peak`, the least time they allow over the median. On a GPU a row
// of the own kernels, `kernels` own, and where the vendor's libraries do a part of the case another with their names;
// the own row has `vendor` and `percent_of_vendor`. What is not known is null. On the SIMT runner, unless `timed`,
// counts instead of times: `launches`, `requests`, `sectors`, `ideal_sectors`, `wavefronts`, `ideal_wavefronts`,
// `barriers`, `fmas`, `tensor_fmas`. Throws Error(kUsage) where no case that matches runs in a dtype.
std::vector<Row> bench_op_cases(const lab::BenchOptions& options);
// Throws what bench_op_cases throws before it runs anything, and needs no device.
void check_bench_options(const lab::BenchOptions& options);

// The ops that have cases: `op`, `dtype` (those of all its cases), `cases`.
std::vector<Row> op_rows();

// Runs every *.safetensors file of a folder of golden cases, in order of name. Fields: `case`, `kind`, `status` (pass,
// fail, unsupported), `max_error`, `limit`, `detail`. Throws Error(kMissing) where there is no such folder or no case
// in it.
std::vector<Row> run_golden(const std::string& folder, DType dtype = DType::kF64, const Progress& progress = {});

// 0 if every row passed or is unsupported with a `case` or `kind` that contains a match of `allow_unsupported` (nothing
// is allowed if it is empty), kSkipped if every row was skipped, else 1.
constexpr int kSkipped = 77;
int exit_code(const std::vector<Row>& rows, const std::string& allow_unsupported = "");

}  // namespace taut::selftest
