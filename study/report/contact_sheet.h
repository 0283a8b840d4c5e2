// What a data set holds, at a glance: counts by class, split and domain, and a page with some images of each class.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace taut::study {

struct SheetCount {
  int64_t label = 0;
  std::string split, domain;  // "" where the data set has none
  int64_t images = 0;
};

struct SheetContents {
  std::string title;
  std::vector<std::string> facts;  // one sentence each: the rule of the split, what is missing, notes
  std::vector<std::string> class_names;
  struct Part {
    std::string split, domain;
    DatasetPtr images;
  };
  std::vector<Part> parts;         // those that have images
  std::vector<SheetCount> counts;  // by class, then in the order of the parts; those above 0
};

// Opens every split of every domain (of one, if it is named). Throws what open_dataset throws.
SheetContents sheet_contents(const std::string& path, const std::string& domain);

// One file that needs nothing else: the first `per_class` images of each class in each domain, as JPEG thumbnails. An
// image that does not decode is a cell with the reason.
std::string contact_sheet_html(const SheetContents& contents, int64_t per_class);

}  // namespace taut::study
