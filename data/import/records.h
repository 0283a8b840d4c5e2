// Files of records behind a manifest.
#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.h"
#include "data/manifest.h"

namespace taut {

// The records of one split in an imported folder; null where it has no file of that split. `classes` of IDX files: 0
// takes any label.
DatasetPtr open_records(const std::filesystem::path& root, const Manifest& manifest, const std::string& split,
                        int64_t classes);

// Line i of the manifest.
ManifestImage manifest_record(const Dataset& data, int64_t i, const std::string& folder, const std::string& split);

}  // namespace taut
