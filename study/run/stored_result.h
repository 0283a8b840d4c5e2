// Whether a run's folder has its result: files that were copied by halves or cut off look like one.
#pragma once

#include <functional>
#include <string>

#include "study/run/directory.h"

namespace taut::study {

struct StoredResult {
  Json json;          // result.json; null where there is none to be believed
  std::string wrong;  // why not, naming the file; empty where there is none at all

  bool done() const { return !json.is_null(); }
};

// result.json of `run` is believed where it is a result of `run_id` and the verdicts of its evaluations are there; what
// is in those, whoever reads them checks. Throws Error(kIo) where the disk refuses.
StoredResult stored_result(const std::string& run, const std::string& run_id);

// The same of a run that is this process's: a result that is not believed is kept under another name, and `say` hears
// why. Null where there is none.
Json take_result(RunDirectory& directory, const std::string& run_id,
                 const std::function<void(const std::string&)>& say);

// Throws Error(kMissing) naming the first of the evaluations' files of verdicts that is not there.
void check_verdicts_there(const std::string& run, const Json& evaluations);

// Why a run failed, as its failed.json says; that it cannot be understood, where it is damaged.
std::string recorded_failure(const std::string& run);

// `text` with the files of `folder` named as they lie in it: where a run lies is no part of what is said of it.
std::string named_within(std::string text, const std::string& folder);

}  // namespace taut::study
