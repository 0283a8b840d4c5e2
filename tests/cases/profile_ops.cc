// Rows of the kernel profile: op cases run under the SIMT runner's counters.
#include <algorithm>
#include <map>
#include <regex>

#include "kernels/lab/gpu_model.h"
#include "kernels/lab/ptxas.h"
#include "kernels/simt/counts.h"
#include "tests/cases/check_case.h"
#include "tests/selftest.h"

namespace taut::selftest {
namespace {

constexpr Device kSimt{DeviceKind::kSimt, 0};
constexpr double kMostFlops = 1e9;  // of a case that is chosen for its size: seconds on the runner

int64_t elements(const cases::OpCase& c) {
  int64_t n = 0;
  for (const cases::Input& input : c.inputs) n += numel(input.shape);
  return n;
}

// Of each op that the expression matches by OP the largest case; all those whose OP/CASE it names in full.
std::vector<cases::OpCase> chosen(const std::string& filter) {
  const std::regex wanted(filter);
  std::vector<cases::OpCase> all;
  std::map<std::string, size_t> largest;
  for (const cases::OpCase& c : cases::all_op_cases().cases) {
    if (c.flops > kMostFlops || !std::regex_search(c.op + "/" + c.name, wanted)) continue;
    const auto [at, is_new] = largest.emplace(c.op, all.size());
    if (is_new)
      all.push_back(c);
    else if (elements(c) > elements(all[at->second]))
      all[at->second] = c;
  }
  return all;
}

std::string source_of(const runner::KernelCounts& kernel) {
  // The site that is no header: a kernel's own lines are in its .cu file.
  for (const runner::SiteCounts& site : kernel.sites) {
    const std::string file = site.site.substr(0, site.site.find(':'));
    if (file.ends_with(".cu")) return file;
  }
  return "";
}

Row row_of(const cases::OpCase& c, const lab::Gpu& gpu, const runner::KernelCounts& k, const std::string& source,
           const lab::Resources* resources) {
  int64_t requests = 0, lanes = 0, sectors = 0, ideal = 0, wavefronts = 0, ideal_wavefronts = 0;
  for (const runner::SiteCounts& site : k.sites) {
    requests += site.requests;
    lanes += site.lanes;
    sectors += site.sectors;
    ideal += site.ideal_sectors;
    wavefronts += site.wavefronts;
    ideal_wavefronts += site.ideal_wavefronts;
  }
  const auto percent = [](int64_t part, int64_t whole) {
    return whole == 0 ? 100.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  const lab::Occupancy occupancy =
      lab::occupancy(gpu, k.threads, k.shared_bytes, resources == nullptr ? lab::Resources{} : *resources);
  const lab::Bound bound = lab::bound(gpu, k);
  Row row = {{"kernel", k.kernel},
             {"source", source},
             {"case", c.op + "/" + c.name},
             {"gpu", std::string(gpu.name) + " (model)"},
             {"launches", k.launches},
             {"blocks", k.blocks},
             {"threads", k.threads},
             {"shared_bytes", k.shared_bytes},
             {"registers", nullptr},
             {"spill_bytes", nullptr},
             {"occupancy_percent", occupancy.percent},
             {"occupancy_limiter", occupancy.limiter},
             {"requests", requests},
             {"sectors", sectors},
             {"sector_percent", percent(ideal, sectors)},
             {"bytes_moved", 32 * sectors},
             {"bytes_minimum", 32 * k.touched_sectors},
             {"wavefronts", wavefronts},
             {"conflict_percent", 100 - percent(ideal_wavefronts, wavefronts)},
             {"active_lanes", requests == 0 ? 0.0 : static_cast<double>(lanes) / static_cast<double>(requests)},
             {"barriers", k.barriers},
             {"fmas", k.fmas},
             {"bound_microseconds", bound.microseconds},
             {"limiter", bound.limiter}};
  if (resources != nullptr) {
    row["registers"] = resources->registers;
    row["spill_bytes"] = resources->spill_bytes;
  }
  return row;
}

}  // namespace

std::vector<Row> profile_ops(const std::string& filter, const std::string& gpu_name) {
  const lab::Gpu& gpu = lab::gpu_by_name(gpu_name);
  std::vector<cases::OpCase> list;
  try {
    list = chosen(filter);
  } catch (const std::regex_error&) {
    fail(Exit::kUsage, "[profile] expected a regular expression over OP/CASE, got '{}'", filter);
  }
  TAUT_CHECK(!list.empty(), "[profile] no case matches '{}'; hint: `taut selftest ops` lists them", filter);
  std::map<std::string, std::map<std::string, lab::Resources>> known;  // by source
  std::vector<Row> rows;
  for (const cases::OpCase& c : list) {
    const std::vector<Tensor> inputs = cases::make_inputs(c, DType::kF32, kSimt);
    runner::start_counts();
    cases::run_case(c, inputs, cases::differentiable(c));
    const std::vector<runner::KernelCounts> kernels = runner::take_counts();
    // A kernel that lies in a header is compiled with the file of its neighbours.
    std::string neighbour;
    for (const runner::KernelCounts& k : kernels)
      if (neighbour.empty()) neighbour = source_of(k);
    for (const runner::KernelCounts& k : kernels) {
      const std::string own = source_of(k), source = own.empty() ? neighbour : own;
      if (!source.empty() && !known.contains(source)) known[source] = lab::ptxas_resources(source, gpu);
      const auto resources = known[source].find(k.kernel);
      rows.push_back(row_of(c, gpu, k, source, resources == known[source].end() ? nullptr : &resources->second));
    }
  }
  return rows;
}

}  // namespace taut::selftest
