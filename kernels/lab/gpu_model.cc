#include "kernels/lab/gpu_model.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace taut::lab {
namespace {

constexpr Gpu kGpus[] = {
    {"h100", "sm_90", 132, 1.98, 3350, 5500, 128, 1, 65536, 228 * 1024, 64, 32},
    {"a100", "sm_80", 108, 1.41, 2039, 4000, 64, 0.5, 65536, 164 * 1024, 64, 32},
    {"rtx4090", "sm_89", 128, 2.52, 1008, 5000, 128, 0.125, 65536, 100 * 1024, 48, 24},
};
constexpr int64_t kRegisterUnit = 256;     // a warp's registers are given out in such units
constexpr int64_t kReservedShared = 1024;  // of every block, for the system

}  // namespace

std::string assumptions(const Gpu& gpu) {
  return fmt::format(
      "{}: {} multiprocessors at {} GHz, {} FMA and {} products of tensor cores a clock each, DRAM {} GB/s, L2 {} "
      "GB/s; a sector comes from DRAM once "
      "a launch and from L2 at every request, a multiprocessor issues a request and a pass over its banks a clock; no "
      "caches, latencies or scheduling, nothing measured",
      gpu.name, gpu.multiprocessors, gpu.gigahertz, gpu.fma_per_clock, gpu.tensor_products_per_clock,
      gpu.dram_gb_per_second, gpu.l2_gb_per_second);
}

double fma_gflops(const Gpu& gpu) { return 2.0 * gpu.fma_per_clock * gpu.multiprocessors * gpu.gigahertz; }

double tensor_gflops(const Gpu& gpu) {
  constexpr double kFlopsOfProduct = 2.0 * 16 * 8 * 16;
  return kFlopsOfProduct * gpu.tensor_products_per_clock * gpu.multiprocessors * gpu.gigahertz;
}

const Gpu& gpu_by_name(const std::string& name) {
  for (const Gpu& gpu : kGpus)
    if (name == gpu.name) return gpu;
  fail(Exit::kUsage, "[--gpu] expected h100, a100 or rtx4090, got '{}'", name);
}

Occupancy occupancy(const Gpu& gpu, int threads, int64_t shared_bytes, const Resources& resources) {
  const int64_t warps = (threads + 31) / 32;
  const int64_t shared = shared_bytes + kReservedShared;
  std::vector<std::pair<int64_t, std::string>> limits = {
      {gpu.warps / warps, "warps"}, {gpu.blocks, "blocks"}, {gpu.shared_bytes / shared, "shared memory"}};
  if (resources.registers > 0) {
    const int64_t of_a_warp = (resources.registers * 32 + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
    limits.emplace_back(gpu.registers / of_a_warp / warps, "registers");
  }
  const auto least = *std::min_element(limits.begin(), limits.end());
  return {100.0 * static_cast<double>(least.first * warps) / gpu.warps, least.second};
}

Bound bound(const Gpu& gpu, const runner::KernelCounts& counts) {
  runner::SiteCounts all;
  for (const runner::SiteCounts& site : counts.sites) all.add(site);
  const double blocks = static_cast<double>(counts.blocks) / static_cast<double>(std::max<int64_t>(counts.launches, 1));
  const double clocks_per_microsecond = 1e3 * gpu.gigahertz * std::min<double>(gpu.multiprocessors, blocks);
  const std::pair<double, std::string> times[] = {
      {32 * static_cast<double>(counts.touched_sectors) / (1e3 * gpu.dram_gb_per_second), "DRAM"},
      {32 * static_cast<double>(all.sectors) / (1e3 * gpu.l2_gb_per_second), "L2"},
      {static_cast<double>(all.requests) / clocks_per_microsecond, "load/store"},
      {static_cast<double>(all.wavefronts) / clocks_per_microsecond, "shared memory"},
      {static_cast<double>(counts.fmas) / gpu.fma_per_clock / clocks_per_microsecond, "FMA"},
      {static_cast<double>(counts.tensor_products) / gpu.tensor_products_per_clock / clocks_per_microsecond,
       "tensor cores"}};
  const auto& most = *std::max_element(std::begin(times), std::end(times));
  return {most.first, most.second};
}

}  // namespace taut::lab
