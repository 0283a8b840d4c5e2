#include "kernels/simt/counts.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "kernels/simt/memory.h"
#include "kernels/simt/shadow.h"
#include "kernels/simt/sites.h"

namespace taut::runner {

bool counting = false;

namespace {

bool wanted = false;

using Request = std::array<uintptr_t, kWarp>;  // addresses; 0 for a lane that took no part

struct Site {
  SiteCounts counts;
  std::vector<Request> requests;  // of the segment
  std::array<uint32_t, kWarp> passes{};
  bool touched = false;
};

struct Kernel {
  KernelCounts counts;
  std::unordered_set<uintptr_t> sectors;  // of the launch
  std::unordered_map<uintptr_t, Site> sites;
  std::vector<Site*> touched;
};

std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}
Kernel* current = nullptr;

// Passes over the 32 banks of 4 bytes: wide accesses go by halves and quarters of a warp, and lanes that want the same
// word share it.
int64_t wavefronts(const Request& request, int bytes) {
  const int group = bytes <= 4 ? kWarp : bytes == 8 ? kWarp / 2 : kWarp / 4;
  int64_t passes = 0;
  for (int first = 0; first < kWarp; first += group) {
    std::array<std::vector<uintptr_t>, kWarp> banks;
    for (int lane = first; lane < first + group; ++lane) {
      if (request[static_cast<size_t>(lane)] == 0) continue;
      for (int word = 0; word < std::max(1, bytes / 4); ++word) {
        const uintptr_t address = request[static_cast<size_t>(lane)] / 4 + static_cast<uintptr_t>(word);
        auto& bank = banks[address % kWarp];
        if (std::find(bank.begin(), bank.end(), address) == bank.end()) bank.push_back(address);
      }
    }
    size_t most = 0;
    for (const auto& bank : banks) most = std::max(most, bank.size());
    passes += static_cast<int64_t>(most);
  }
  return passes;
}

void settle(Site& site) {
  SiteCounts& c = site.counts;
  for (const Request& request : site.requests) {
    std::vector<uintptr_t> sectors;
    int64_t lanes = 0;
    std::vector<uintptr_t> distinct;
    for (const uintptr_t address : request) {
      if (address == 0) continue;
      ++lanes;
      distinct.push_back(address);
      for (uintptr_t s = address / 32; s <= (address + static_cast<uintptr_t>(c.bytes) - 1) / 32; ++s)
        sectors.push_back(s);
    }
    std::sort(distinct.begin(), distinct.end());
    const auto different = std::unique(distinct.begin(), distinct.end()) - distinct.begin();
    ++c.requests;
    c.lanes += lanes;
    if (c.shared) {
      c.wavefronts += wavefronts(request, c.bytes);
      c.ideal_wavefronts += std::max<int64_t>(1, (different * c.bytes + 127) / 128);
    } else {
      std::sort(sectors.begin(), sectors.end());
      c.sectors += std::unique(sectors.begin(), sectors.end()) - sectors.begin();
      c.ideal_sectors += (different * c.bytes + 31) / 32;
    }
  }
  site.requests.clear();
  site.passes.fill(0);
  site.touched = false;
}

}  // namespace

void start_counts() {
  kernels().clear();
  wanted = true;
}

std::vector<KernelCounts> take_counts() {
  wanted = false;
  std::vector<KernelCounts> all;
  for (auto& [name, kernel] : kernels()) {
    KernelCounts k = kernel.counts;
    k.kernel = name;
    for (auto& [code, site] : kernel.sites) {
      site.counts.site = describe_site(code);
      k.sites.push_back(site.counts);
    }
    std::sort(k.sites.begin(), k.sites.end(), [](const SiteCounts& a, const SiteCounts& b) {
      return std::tie(a.site, a.write, a.bytes, a.requests, a.sectors) <
             std::tie(b.site, b.write, b.bytes, b.requests, b.sectors);
    });
    all.push_back(std::move(k));
  }
  kernels().clear();
  return all;
}

void begin_counting(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes) {
  counting = wanted;
  if (!counting) return;
  current = &kernels()[describe_kernel(kernel)];
  ++current->counts.launches;
  current->counts.blocks += blocks;
  current->counts.threads = threads;
  current->counts.shared_bytes = shared_bytes;
}

void count_access(uintptr_t address, size_t bytes, bool write, uintptr_t site) {
  if (!memory().contains(address)) return;
  Site& s = current->sites[site];
  if (!s.touched) {
    s.touched = true;
    s.counts.shared = address - reinterpret_cast<uintptr_t>(memory().base) < kSharedBytes;
    s.counts.write = write;
    s.counts.bytes = static_cast<int>(bytes);
    current->touched.push_back(&s);
  }
  const auto lane = static_cast<size_t>(lane_id());
  const uint32_t pass = s.passes[lane]++;
  if (pass >= s.requests.size()) s.requests.emplace_back(Request{});
  if (!s.counts.shared)
    for (uintptr_t sector = address / 32; sector <= (address + bytes - 1) / 32; ++sector)
      current->sectors.insert(sector);
  s.requests[pass][lane] = address;
}

void finish_warp_segment() {
  if (!counting) return;
  for (Site* s : current->touched) settle(*s);
  current->touched.clear();
}

void end_counting(const Totals& before, const Totals& after, int64_t fmas, int64_t tensor_products,
                  int64_t tensor_fmas) {
  if (!counting) return;
  finish_warp_segment();
  current->counts.barriers += after.barriers - before.barriers;
  current->counts.warp_functions += after.warp_functions - before.warp_functions;
  current->counts.switches += after.switches - before.switches;
  current->counts.fmas += fmas;
  current->counts.tensor_products += tensor_products;
  current->counts.tensor_fmas += tensor_fmas;
  current->counts.touched_sectors += static_cast<int64_t>(current->sectors.size());
  current->sectors.clear();
  counting = false;
}

}  // namespace taut::runner
