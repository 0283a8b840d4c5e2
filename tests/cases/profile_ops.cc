// Rows of the kernel profile: op cases and rungs run under the SIMT runner's counters.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "kernels/error.h"
#include "kernels/lab/gpu_model.h"
#include "kernels/lab/kernel_source.h"
#include "kernels/lab/ladder.h"
#include "kernels/lab/ptxas.h"
#include "kernels/simt/counts.h"
#include "kernels/tell.h"
#include "tests/cases/check_case.h"
#include "tests/cases/profiled.h"
#include "tests/selftest.h"

namespace taut::selftest {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};
constexpr double kMostFlops = 1e9;  // of a case that is chosen for its size: seconds on the runner

double percent(int64_t part, int64_t whole) {
  return whole == 0 ? 100.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

// What ptxas says of the kernels of a file, asked once.
class KnownResources {
 public:
  explicit KnownResources(const lab::Gpu& gpu) : gpu_(gpu) {}
  // A kernel of a header is linked once for all files that make it: where the file that was found is not one of them,
  // the first that is.
  const lab::Resources* of(const lab::KernelSource& source) {
    if (source.compiled.empty()) return nullptr;
    if (const lab::Resources* const r = in(source.compiled, source.kernel); r != nullptr) return r;
    for (const std::string& file : lab::files_of(source.compiled.substr(0, source.compiled.rfind('/')), ".cu"))
      if (const lab::Resources* const r = in(file, source.kernel); r != nullptr) return r;
    return nullptr;
  }

 private:
  const lab::Resources* in(const std::string& file, const std::string& kernel) {
    if (!files_.contains(file)) files_[file] = lab::ptxas_resources(file, gpu_);
    const auto found = files_[file].find(kernel);
    return found == files_[file].end() ? nullptr : &found->second;
  }

  const lab::Gpu& gpu_;
  std::map<std::string, std::map<std::string, lab::Resources>> files_;
};

Row kernel_row(const std::string& what, const lab::Gpu& gpu, const runner::KernelCounts& k,
               const lab::KernelSource& source, const lab::Resources* resources) {
  runner::SiteCounts all;
  for (const runner::SiteCounts& site : k.sites) all.add(site);
  const lab::Occupancy occupancy =
      lab::occupancy(gpu, k.threads, k.shared_bytes, resources == nullptr ? lab::Resources{} : *resources);
  const lab::Bound bound = lab::bound(gpu, k);
  Row row = {
      {"kernel", k.kernel},
      {"source", source.compiled},
      {"case", what},
      {"gpu", std::string(gpu.name) + " (model)"},
      {"launches", k.launches},
      {"blocks", k.blocks},
      {"threads", k.threads},
      {"shared_bytes", k.shared_bytes},
      {"registers", nullptr},
      {"spill_bytes", nullptr},
      {"nvcc", nullptr},
      {"occupancy_percent", occupancy.percent},
      {"occupancy_limiter", occupancy.limiter},
      {"requests", all.requests},
      {"sectors", all.sectors},
      {"ideal_sectors", all.ideal_sectors},
      {"sector_percent", percent(all.ideal_sectors, all.sectors)},
      {"bytes_moved", 32 * all.sectors},
      {"bytes_minimum", 32 * k.touched_sectors},
      {"wavefronts", all.wavefronts},
      {"ideal_wavefronts", all.ideal_wavefronts},
      {"conflict_percent", 100 - percent(all.ideal_wavefronts, all.wavefronts)},
      {"active_lanes", all.requests == 0 ? 0.0 : static_cast<double>(all.lanes) / static_cast<double>(all.requests)},
      {"barriers", k.barriers},
      {"warp_functions", k.warp_functions},
      {"switches", k.switches},
      {"fmas", k.fmas},
      {"tensor_fmas", k.tensor_fmas},
      {"bound_microseconds", bound.microseconds},
      {"limiter", bound.limiter}};
  if (resources != nullptr) {
    row["registers"] = resources->registers;
    row["spill_bytes"] = resources->spill_bytes;
    if (const std::string& nvcc = lab::nvcc_version(); !nvcc.empty()) row["nvcc"] = nvcc;
  }
  return row;
}

Row site_row(const std::string& what, const runner::KernelCounts& k, const runner::SiteCounts& site) {
  Row row = {{"kernel", k.kernel},
             {"case", what},
             {"site", site.site},
             {"memory", site.shared ? "shared" : "global"},
             {"access", site.write ? "write" : "read"},
             {"bytes", site.bytes},
             {"requests", site.requests},
             {"active_lanes", static_cast<double>(site.lanes) / static_cast<double>(site.requests)}};
  if (site.shared) {
    row["wavefronts"] = site.wavefronts;
    row["ideal_wavefronts"] = site.ideal_wavefronts;
  } else {
    row["sectors"] = site.sectors;
    row["ideal_sectors"] = site.ideal_sectors;
    row["sector_percent"] = percent(site.ideal_sectors, site.sectors);
  }
  return row;
}

struct Run {
  std::string op, what;
  std::vector<runner::KernelCounts> kernels;
};

Run run_counted(const cases::OpCase& c, cases::RunAs mode) {
  const bool bf16 = mode == cases::RunAs::kBf16;
  const std::vector<Tensor> inputs = cases::make_inputs(c, bf16 ? DType::kBF16 : DType::kF32, kSimt);
  runner::start_counts();
  cases::run_case(c, inputs, cases::differentiable(c));
  return {c.op, c.op + "/" + c.name + (bf16 ? " bf16" : ""), runner::take_counts()};
}

// Leaves them out, and says which ops have no others.
void without_launches(std::vector<Run>& runs) {
  std::set<std::string> launch;
  for (const Run& run : runs)
    if (!run.kernels.empty()) launch.insert(run.op);
  std::vector<std::string> none;
  for (const Run& run : runs)
    if (!launch.contains(run.op)) none.push_back(run.what);
  std::erase_if(runs, [](const Run& run) { return run.kernels.empty(); });
  if (none.empty()) return;
  const std::string why =
      fmt::format("{} launches no kernel: it computes nothing and moves no number", fmt::join(none, ", "));
  TAUT_CHECK(!runs.empty(), "[kernel] {}; hint: `taut kernel ls` lists the ops, as softmax and cast", why);
  tell("[kernel] {}\n", why);
}

std::vector<Run> runs_of(const lab::ProfileOptions& options) {
  if (options.rung > 0)
    return {{options.filter, fmt::format("{}:{}", options.filter, options.rung),
             lab::count_rung(options.filter, options.rung)}};
  std::vector<Run> runs;
  for (const cases::RunAs mode : {cases::RunAs::kF32, cases::RunAs::kTf32, cases::RunAs::kBf16})
    for (const cases::OpCase& c : cases::profiled_cases("kernel", options.filter, kMostFlops, mode))
      runs.push_back(run_counted(c, mode));
  without_launches(runs);
  return runs;
}

}  // namespace

std::vector<Row> profile_ops(const lab::ProfileOptions& options) {
  const lab::Gpu& gpu = lab::gpu_by_name(options.gpu);
  KnownResources known(gpu);
  std::vector<Row> rows;
  for (const auto& [op, what, kernels] : runs_of(options)) {
    const std::vector<lab::KernelSource> sources = lab::find_sources(kernels);
    for (size_t i = 0; i < kernels.size(); ++i) {
      const runner::KernelCounts& k = kernels[i];
      if (options.sites)
        for (const runner::SiteCounts& site : k.sites) rows.push_back(site_row(what, k, site));
      else
        rows.push_back(kernel_row(what, gpu, k, sources[i], options.ask_nvcc ? known.of(sources[i]) : nullptr));
    }
  }
  return rows;
}

std::vector<lab::KernelSource> kernel_sources(const lab::ProfileOptions& options) {
  std::vector<lab::KernelSource> all;
  for (const Run& run : runs_of(options))
    for (lab::KernelSource& source : lab::find_sources(run.kernels)) all.push_back(std::move(source));
  return all;
}

}  // namespace taut::selftest
