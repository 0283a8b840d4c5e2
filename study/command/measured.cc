#include "study/command/measured.h"

#include <fmt/ranges.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "kernels/devices.h"
#include "study/run/environment.h"

namespace taut::study {
namespace {

std::string machine_of(Device device) {
  if (device.kind != DeviceKind::kCpu) return backend_state(device.kind).note;
  const nlohmann::ordered_json all = environment();
  return fmt::format("{}, {}, {} threads", all.at("processor").get<std::string>(), all.at("isa").get<std::string>(),
                     all.at("threads").get<int>());
}

}  // namespace

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string pace_text(const std::string& cpuinfo, const std::string& most_khz, const std::string& governor,
                      const std::string& load, int processors) {
  std::vector<std::string> parts;
  if (const size_t at = cpuinfo.find("cpu MHz"); at != std::string::npos) {
    const double mhz = std::strtod(cpuinfo.c_str() + cpuinfo.find(':', at) + 1, nullptr);
    const double most = std::strtod(most_khz.c_str(), nullptr) / 1e3;
    parts.push_back(most > 0 ? fmt::format("{:.0f} of {:.0f} MHz", mhz, most) : fmt::format("{:.0f} MHz", mhz));
  }
  if (!governor.empty()) parts.push_back("governor " + governor);
  if (!load.empty())
    parts.push_back(fmt::format("load {} on {} processors", load.substr(0, load.find(' ')), processors));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string counters_note(const std::string& params) {
  if (params.find("RmProfilingAdminOnly: 1") == std::string::npos) return {};
  return "the driver lets only root read a GPU's counters (RmProfilingAdminOnly: 1 in /proc/driver/nvidia/params): ncu "
         "needs sudo, or the module option NVreg_RestrictProfilingToAdminUsers=0; `taut kernel bench --device cuda` "
         "and "
         "the counts of simt need none";
}

void say_where_measured(Device device, std::vector<Row>& rows, Format format) {
  const std::string frequency = "/sys/devices/system/cpu/cpu0/cpufreq/", machine = machine_of(device),
                    build = version_line();
  const std::string pace = pace_text(text_of("/proc/cpuinfo"), text_of(frequency + "cpuinfo_max_freq"),
                                     text_of(frequency + "scaling_governor"), text_of("/proc/loadavg"),
                                     static_cast<int>(std::thread::hardware_concurrency()));
  fmt::print(stderr, "measured on {}; {}; {}{}\n", machine, build, device.kind == DeviceKind::kCpu ? "" : "host at ",
             pace);
  if (format == Format::kMarkdown) return;
  for (Row& row : rows) {
    row["machine"] = machine;
    row["build"] = build;
  }
}

bool waive_without_device(const Common& common, const std::string& op, const ExitCode& code, const Selftests& tests,
                          const std::function<void(Device device)>& check) {
  const Device device = begin_on_any_device(common);
  const BackendState state = backend_state(device.kind);
  if (state.available) return false;
  check(device);
  const std::vector<Row> waived{{{"op", op}, {"status", "skipped"}, {"detail", state.note}}};
  *code = tests.exit_code(waived, "");
  print_rows(waived, format_by_name(common.format));
  return true;
}

}  // namespace taut::study
