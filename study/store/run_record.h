// One run as the store keeps it, read from its folder.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/store/sqlite.h"

namespace taut::study {

// Which run it is, as the plan or the run itself says.
struct RunIdentity {
  std::string dataset, strategy, variant;
  int64_t seed = 0;
  std::map<std::string, std::string> params;  // the settings that name a run; empty where nothing records them

  // An order that does not depend on who was read first: who records settings, then by content.
  bool before(const RunIdentity& other) const;
};

// A finished run: rows of the tables that belong to it, without run_id, in the columns' order.
struct RunRecord {
  std::string run_id;
  RunIdentity identity;  // without settings
  std::string sha256;    // over the names and bytes of result.json, metrics.jsonl and samples/step-*.json
  SqlRow result;         // the columns of `run` after sha256
  std::map<std::string, std::vector<SqlRow>> rows;  // of point, shifted, metric, sample, harness_check, note
};

// Throws Error(kMissing) where a file is not there, Error(kBadData) naming a file that is cut off, foreign or written
// by a later version. A result of an earlier version, which lacks fields that no area needs, is good: they are NULL.
// `run_id`: whose result it must be; empty for anyone's.
RunRecord read_run_record(const std::string& folder, const std::string& run_id = {});

// Whether a setting enters `param`: not threads or where files lie, which differ between machines.
bool is_param(const std::string& key);

// The settings of a run that its config.resolved.toml records; none where it has no such file.
std::map<std::string, std::string> recorded_params(const std::string& folder);

}  // namespace taut::study
