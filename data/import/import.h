// `taut data import`: archives become a folder of unchanged files with a manifest.
//
// Everything is unpacked into OUT.partial, which is renamed to OUT when all of it is there: OUT is complete or absent.
// An import that was killed goes on from what lies in OUT.partial: a file whose bytes are the archive's is not written
// again. Importing the same archives into OUT again changes nothing, in whatever order they come and however they are
// called.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace taut {

struct ImportOptions {
  std::string name;                   // of a known data set
  std::vector<std::string> archives;  // archives, folders, lists
  std::string out;
  uint64_t seed = 0;  // of the split, where there is no official one
  // What to tell the user, one line each.
  std::function<void(const std::string& line)> say = [](const std::string&) {};
  // What is being done, and how much of it is done. May throw, which stops the import.
  std::function<void(const std::string& what, int64_t done, int64_t all)> progress = [](const std::string&, int64_t,
                                                                                        int64_t) {};
  // Free bytes on the file system of a folder.
  std::function<int64_t(const std::string& folder)> free_bytes = {};
};

// Throws Error(kUsage) for an unknown name or an OUT that holds something else, Error(kMissing) for an archive or a
// list that is not there, Error(kBadData) for archives that are damaged, hostile or of another layout, Error(kIo) where
// the disk is too small or a file cannot be written, Error(kInterrupted) where another process imports into OUT.
Manifest import_dataset(const ImportOptions& options);

}  // namespace taut
