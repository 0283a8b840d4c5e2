#include "study/run/environment.h"

#include <fmt/format.h>

#include <cstdio>  // jpeglib.h needs it

#include <jpeglib.h>
#include <png.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/devices.h"
#include "kernels/lab/vendor.h"
#include "kernels/parallel.h"
#include "kernels/runtime.h"

extern char** environ;

namespace taut::study {
namespace {

// The value of the first line "KEY: value" of a file in /proc, or "unknown".
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const auto at = line.find_first_not_of(" \t", line.find(':') + 1);
    if (at != std::string::npos) return line.substr(at);
  }
  return "unknown";
}

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  return std::getline(in, line) ? line : "unknown";
}

// The word in brackets of "always [madvise] never".
std::string huge_pages() {
  const std::string line = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const auto open = line.find('['), close = line.find(']');
  return open == std::string::npos || close == std::string::npos ? line : line.substr(open + 1, close - open - 1);
}

constexpr const char* kSwitches[][2] = {
    {"TAUT_ISA", "avx2: use nothing wider; the bytes of a run stay the same"},
    {"TAUT_SYNC", "1: wait after every kernel on a GPU, so that one that fails is named"},
    {"TAUT_CUBLASLT", "0: products of bf16 and tf32 on a GPU are the own kernels'"},
    {"TAUT_CUDNN", "0: convolutions of bf16 and tf32 on a GPU are the own kernels'"},
    {"TAUT_GRAPHS", "0: no step on a GPU is recorded into a CUDA graph"},
    {"TAUT_SIMT_SEED", "--device simt: warps go on in an order that this number draws"},
    {"TAUT_SIMT_DETECT", "0: --device simt runs without its detectors, faster"},
    {"TAUT_SIMT_FAIL", "cudaMalloc:3+:2 makes that call of the twin fail from the third on with error 2"},
    {"TAUT_CFG_*", "TAUT_CFG_ATTACK_EPS=8/255 sets attack.eps"},
};

constexpr const char* kFashion = "/usr/share/datasets/fashion-mnist";

#define TAUT_TEXT_OF_(x) #x
#define TAUT_TEXT_OF(x) TAUT_TEXT_OF_(x)

std::string jpeg_version() {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " TAUT_TEXT_OF(LIBJPEG_TURBO_VERSION);
#else
  return fmt::format("libjpeg {}", JPEG_LIB_VERSION);
#endif
}

}  // namespace

std::string version_line() {
  std::string backends;
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kSimt, DeviceKind::kCuda})
    if (is_compiled(kind)) backends += fmt::format("{}{}", backends.empty() ? "" : " ", name(kind));
  return fmt::format("taut {} (commit {}, {}, {}; backends: {})", TAUT_VERSION, TAUT_COMMIT, TAUT_COMPILER,
                     TAUT_BUILD_TYPE, backends);
}

nlohmann::ordered_json environment() {
  utsname system{};
  uname(&system);
  return {{"version", TAUT_VERSION},
          {"commit", TAUT_COMMIT},
          {"compiler", TAUT_COMPILER},
          {"build", TAUT_BUILD_TYPE},
          {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
          {"processor", proc_value("/proc/cpuinfo", "model name")},
          {"isa", name(cpu_isa())},
          {"threads", num_threads()},
          {"memory", proc_value("/proc/meminfo", "MemTotal")},
          {"huge_pages", huge_pages()}};
}

std::vector<Finding> diagnose() {
  std::vector<Finding> list;
  list.push_back({"version", fmt::format("{} {}", TAUT_VERSION, TAUT_COMMIT),
                  fmt::format("{}, {}", TAUT_COMPILER, TAUT_BUILD_TYPE)});
  list.push_back({"processor", proc_value("/proc/cpuinfo", "model name"), ""});
  list.push_back({"instruction set", name(cpu_isa()), cpu_isa_reason()});
  list.push_back({"threads", std::to_string(num_threads()), "set with -t; no result depends on it"});
  list.push_back({"memory", proc_value("/proc/meminfo", "MemAvailable"),
                  "available of " + proc_value("/proc/meminfo", "MemTotal")});
  for (const DeviceKind kind : {DeviceKind::kSimt, DeviceKind::kCuda}) {
    const BackendState state = backend_state(kind);
    list.push_back({fmt::format("device {}", name(kind)),
                    state.available  ? "available"
                    : state.compiled ? "compiled, no device"
                                     : "not compiled",
                    state.note});
  }
  const std::string pages = huge_pages();
  list.push_back({"huge pages", pages,
                  pages == "never" ? "switched off on this machine: expect a slower first touch of memory" : ""});
  std::error_code error;
  const auto space = std::filesystem::space(".", error);
  if (!error)
    list.push_back({"free disk space", fmt::format("{:.1f} GB", static_cast<double>(space.available) * 1e-9), "here"});
  for (const auto& [variable, meaning] : kSwitches) {
    const std::string prefix = variable;
    std::string value = "not set";
    if (prefix.ends_with('*')) {
      for (char** entry = environ; *entry != nullptr; ++entry)
        if (std::string(*entry).starts_with(prefix.substr(0, prefix.size() - 1)))
          value = (value == "not set" ? "" : value + " ") + *entry;
    } else if (const char* set = std::getenv(variable); set != nullptr) {
      value = set;
    }
    list.push_back({variable, value, meaning});
  }
  list.push_back({"JPEG", jpeg_version(), "accurate inverse DCT: the same pixels as Pillow"});
  list.push_back({"PNG", fmt::format("libpng {}", png_get_libpng_ver(nullptr)), ""});
  list.push_back({"zlib", zlibVersion(), ""});
  list.push_back({"vendor library", vendor_name() == nullptr ? "none" : vendor_name(),
                  "only a row to beat in `taut kernel bench matmul` and `conv2d`"});
  const bool fashion = std::filesystem::exists(kFashion);
  list.push_back({"Fashion-MNIST", fashion ? kFashion : "not here",
                  fashion ? "the demo's images" : "package dataset-fashion-mnist; the demo takes procedural images"});
  return list;
}

}  // namespace taut::study
