// Names of Google's .npz files, for name_map (nn/weights.h).
#pragma once

#include <vector>

#include "nn/weights.h"

namespace taut::nn {

// `ours` are the entries under our own names.
std::vector<NameEntry> google_names(const VitConfig& config, const std::vector<NameEntry>& ours);

}  // namespace taut::nn
