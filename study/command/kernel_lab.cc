// taut kernel ladder: variants of one kernel, counted.
#include "kernels/error.h"
#include "kernels/lab/ladder.h"
#include "study/command/command.h"

namespace taut::study {

void add_kernel_lab_commands(CLI::App& kernel, const ExitCode& code) {
  const auto op = std::make_shared<std::string>();
  CLI::App* ladder =
      kernel.add_subcommand("ladder", "one op from naive to production, each rung validated and counted");
  const CommonPtr common = add_common(*ladder);
  common->device = "simt";  // where there is no --device
  ladder->add_option("op", *op, "matmul, softmax, layer_norm, attention, conv2d, phm_linear, pgd_step")->required();
  ladder->callback([=] {
    const Device device = begin_on_any_device(*common);
    if (device.kind != DeviceKind::kSimt)
      fail(Exit::kUnavailable, "[--device] ladders are counted on simt, got '{}'; hint: --device simt", common->device);
    const std::vector<lab::LadderRow> rungs = lab::run_ladder(*op);
    std::vector<Row> rows;
    for (const lab::LadderRow& r : rungs) {
      if (!r.verified || !r.is_better) *code = static_cast<int>(Exit::kCheckFailed);
      rows.push_back({{"op", r.op},
                      {"rung", r.rung},
                      {"idea", r.idea},
                      {"production", r.production},
                      {"verified", r.verified},
                      {"better", r.better},
                      {"is_better", r.is_better},
                      {"launches", r.launches},
                      {"requests", r.requests},
                      {"sectors", r.sectors},
                      {"sector_percent", r.sector_percent},
                      {"wavefronts", r.wavefronts},
                      {"barriers", r.barriers},
                      {"shape", r.shape}});
    }
    print_rows(rows, format_by_name(common->format));
  });
}

}  // namespace taut::study
