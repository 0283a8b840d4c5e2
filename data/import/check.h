// `taut data check`: are the files of an imported folder still those that were imported?
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace taut {

struct CheckResult {
  std::string name;
  int64_t images = 0;
  std::vector<std::string> problems;  // one sentence each, naming the file; a file or record counts once
  std::vector<std::string> notes;     // files that the manifest does not know
};

// Reads every file. `progress` gets bytes. Throws what read_manifest throws, save that a damaged manifest or list is a
// problem.
CheckResult check_import(
    const std::string& folder,
    const std::function<void(int64_t done, int64_t all)>& progress = [](int64_t, int64_t) {});

}  // namespace taut
