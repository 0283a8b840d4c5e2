// The data sets that can be imported by name, and what is known of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace taut {

// One domain of a data set that has several.
struct KnownDomain {
  const char* name;
  int64_t train, test;
};

struct KnownDataset {
  const char* name;
  const char* archives;  // as their authors distribute them
  const char* inside;    // the layout
  // Counts of the whole set; 0: not known, or made here.
  int64_t classes, train, test, images;
  const char* licence;
  const char* note;                       // that readers of results should see; "" if none
  std::vector<KnownDomain> domains = {};  // with a split by their authors
};

// Sorted as `taut data ls` lists them.
const std::vector<KnownDataset>& known_datasets();
// Throws Error(kUsage), with the nearest name.
const KnownDataset& known_dataset(const std::string& name);
// One sentence on whether an import of that name is complete, for a reader; not that it is where nothing is known.
const char* counts_sentence(const std::string& name, bool complete);

}  // namespace taut
