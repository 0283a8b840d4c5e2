// The commands that make plans.
#pragma once

#include <CLI/CLI.hpp>

namespace taut::study {

void add_plan_command(CLI::App& study);           // study plan
void add_import_config_command(CLI::App& study);  // study import-config

}  // namespace taut::study
