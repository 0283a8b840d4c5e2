// What a results store holds (docs/results_store.md): tables of facts, and views that compute from them.
#pragma once

#include <string>
#include <vector>

#include "study/store/sqlite.h"

namespace taut::study {

// "taut" in ASCII: what `file` and this program know a store by.
inline constexpr int64_t kStoreApplication = 0x74617574;
inline constexpr int64_t kStoreVersion = 2;

// The tables that belong to a run, `run` first. The first column of each is run_id.
const std::vector<std::string>& store_tables();

// Makes the tables and views of an empty database.
void make_store(Database& database);

// Opens a store of ours. Throws Error(kMissing), or Error(kBadData) for anything else and for a store of another
// version.
Database open_store(const std::string& path);

}  // namespace taut::study
