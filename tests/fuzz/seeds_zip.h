// What can be wrong with a zip archive, whatever is in it.
#pragma once

#include "tests/fuzz/build_files.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {

// `honest` are the items of an archive that is accepted: two or more, all stored, the first with `sizes_follow`.
std::vector<Seed> zip_seeds(const std::vector<ZipItem>& honest);

}  // namespace taut::fuzz
