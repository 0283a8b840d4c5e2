// What taut study submit shares with the commands whose runs it hands out.
#pragma once

#include <optional>

#include "study/command/command.h"

namespace taut::study {

// `taut study run --manifest DIR --index I`: one row of a manifest.
struct RowChoice {
  std::string folder, run_id, part;
  std::optional<int64_t> index;
};
using RowChoicePtr = std::shared_ptr<RowChoice>;
RowChoicePtr add_row_choice(CLI::App& run);
void run_chosen_row(const RowChoice& choice, const Common& common, Device device);

void add_submit_command(CLI::App& study, const ExitCode& code, const std::string& command_line);

// What `train` and `run --manifest` print of result.json; robust counts are empty where nothing was attacked.
Row last_point(const Config& config, const nlohmann::ordered_json& result);

}  // namespace taut::study
