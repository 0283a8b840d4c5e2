// The lists of Stanford Dogs: MATLAB 5 files with a cell array `file_list` of strings and a column `labels`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace taut {

struct MatlabList {
  std::vector<std::string> files;
  std::vector<int64_t> labels;  // from 1
};

// Throws Error(kBadData) naming `name` and the element where the bytes are no such list. The library that reads MATLAB
// files works in a process of its own, so that a file made to break it breaks nothing else.
MatlabList read_matlab_list(std::span<const uint8_t> bytes, const std::string& name);

}  // namespace taut
