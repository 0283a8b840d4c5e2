#include "study/presets.h"

#include "kernels/error.h"
#include "tensor/nearest.h"

namespace taut::study {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
#include <presets.inc>
  };
  return all;
}

const Preset& preset(const std::string& name) {
  std::vector<std::string> names;
  for (const Preset& p : presets()) {
    if (p.name == name) return p;
    names.push_back(p.name);
  }
  fail(Exit::kUsage, "[--preset] there is no preset '{}'; hint: {}", name, did_you_mean(name, names));
}

}  // namespace taut::study
