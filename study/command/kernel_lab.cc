// taut kernel ladder, taut kernel profile: what is counted of kernels without a GPU.
#include "kernels/error.h"
#include "kernels/lab/ladder.h"
#include "study/command/command.h"

namespace taut::study {

void add_kernel_lab_commands(CLI::App& kernel, const ExitCode& code, const Selftests& tests) {
  const auto op = std::make_shared<std::string>(), gpu = std::make_shared<std::string>("h100");
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

  CLI::App* profile = kernel.add_subcommand(
      "profile", "each kernel of an op: counts of the SIMT runner, what ptxas knows, and a model's bound and limiter");
  const CommonPtr profile_common = add_common(*profile);
  profile_common->device = "simt";
  profile->add_option("op", *op, "an op, or a regular expression over OP/CASE: layer_norm, '^matmul/788x'")->required();
  profile->add_option("--gpu", *gpu, "the model: h100, a100, rtx4090");
  profile->callback([=] {
    const Device device = begin_on_any_device(*profile_common);
    if (device.kind != DeviceKind::kSimt)
      fail(Exit::kUnavailable, "[--device] profiles are counted on simt, got '{}'; hint: --device simt",
           profile_common->device);
    print_rows(tests.profile(*op, *gpu), format_by_name(profile_common->format));
  });
}

}  // namespace taut::study
