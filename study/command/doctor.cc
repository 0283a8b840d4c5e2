// taut doctor: what this machine and this build offer.
#include "kernels/devices.h"
#include "study/command/command.h"
#include "study/run/environment.h"

namespace taut::study {

void add_doctor_command(CLI::App& app, const ExitCode&) {
  CLI::App* doctor = app.add_subcommand("doctor", "what this machine and this build offer");
  const CommonPtr common = add_common(*doctor);
  const auto backends = std::make_shared<bool>(false);
  doctor->add_flag("--backends", *backends, "only the backends");
  doctor->callback([common, backends] {
    begin(*common);
    std::vector<Row> rows;
    if (*backends) {
      for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kSimt, DeviceKind::kCuda}) {
        const BackendState state = backend_state(kind);
        rows.push_back({{"backend", name(kind)},
                        {"compiled", state.compiled},
                        {"available", state.available},
                        {"libraries", state.libraries},
                        {"note", state.note}});
      }
    } else {
      for (const Finding& f : diagnose()) rows.push_back({{"item", f.item}, {"value", f.value}, {"note", f.note}});
    }
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace taut::study
