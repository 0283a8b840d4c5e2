// The presets in study/presets/, built into the program.
#pragma once

#include <string>
#include <vector>

namespace taut::study {

struct Preset {
  std::string name, text;
};
const std::vector<Preset>& presets();
// Throws Error(kUsage) naming the nearest.
const Preset& preset(const std::string& name);

}  // namespace taut::study
