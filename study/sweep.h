// Settings that a study runs through, every combination a run of its own:
//
//   [study.sweep]                                      of every run
//   train.lr = [1e-3, 5e-3]                            each of these
//   train.batch = { from = 32, to = 128, step = 32 }   32, 64, 96, 128
//   peft.rank = { from = 1, to = 64, factor = 4 }      1, 4, 16, 64
//   train.weight_decay = { from = 1e-4, to = 1e-2, points = 3, scale = "log" }   also "linear", the built-in one
//   data.classes = [[0, 1], [2, 3]]                    a list of lists, where a setting is a list
//   [study.strategy.lora.sweep]                        of that strategy's runs; a [[study.dataset]] and a
//                                                      [[study.setting]] have sweep.KEY
//
// A setting that is given, or swept, in a stronger place (study/study_file.h) is not swept by the weaker.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "study/toml.h"

namespace taut::study {

struct SweepAxis {
  std::string key;                  // of the setting
  std::string where;                // what errors call it: "study.toml: study.sweep.train.lr"
  std::vector<std::string> values;  // as they would be typed, each once, in the order given
};

// Takes every setting below `prefix` ("study.sweep.") out of the table, sorted by key. Throws Error(kUsage), naming
// file and key: an unknown setting, one that a sweep cannot run through, no value, a value twice, a bad range, a value
// that the setting cannot have.
std::vector<SweepAxis> take_axes(TomlTable& table, const std::string& prefix, const std::string& file);

// Value number `index` of each axis, and the name that the runs with it get: "lr0.001-rank8".
struct Combination {
  std::map<std::string, std::string> settings;
  std::string name;  // empty without axes
};
// How many there are. Throws Error(kUsage) above kMostRuns.
size_t count_combinations(const std::vector<const SweepAxis*>& axes);
// All of them, the last axis fastest; one without settings where there are no axes. Throws what counting them throws.
std::vector<Combination> combinations(const std::vector<const SweepAxis*>& axes);

// A plan of more is a slip of the pen.
inline constexpr size_t kMostRuns = 20'000;

}  // namespace taut::study
