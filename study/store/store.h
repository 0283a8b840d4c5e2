// Merging runs into one SQLite file (schema.h).
//
// A store is a function of the set of runs it has seen, in whatever order and over however many merges: for each run
// the highest of missing < failed < done, where two different finished versions of a run are a conflict, which keeps
// neither. The file is built anew in memory, rows in the order of their keys, and takes the place of the old one at
// once, so that equal sets have equal bytes and a full disk leaves the old file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/store/sqlite.h"

namespace taut::study {

struct Merged {
  int64_t runs = 0, done = 0, missing = 0, failed = 0, conflicts = 0;  // of the store
  int64_t duplicates = 0;             // finished runs that were met with the same bytes in more than one place
  std::vector<std::string> problems;  // a line for each run that is not done, with the reason and the places
};

// `sources`: folders of studies, of runs, of one run, or stores. `path` may exist, as a store: its runs are kept.
// Throws Error(kMissing) where a source has no runs, Error(kBadData) where a plan or a store cannot be understood,
// Error(kIo) where the file cannot be written.
Merged merge_into(const std::vector<std::string>& sources, const std::string& path);

// The same without a file, for those who only read.
Database store_of(const std::vector<std::string>& sources, Merged* merged = nullptr);

}  // namespace taut::study
