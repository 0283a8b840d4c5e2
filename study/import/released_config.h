// Configurations of the study's released code (kyangl/robustness-finetuning) as a study in TOML.
//
// Its YAML files say which module is trained and how (`Modules`, `LoRAConfig`, `BnConfig`); everything else is an
// option of its main.py. Read too: what it logs of a run (the same with `adapter_config`, `dataset`, `learning_rate`,
// ...; as Weights & Biases writes it, each below `value`), and the names of Hugging Face's TrainingArguments.
#pragma once

#include <string>
#include <vector>

#include "study/import/yaml.h"
#include "study/study_file.h"

namespace taut::study {

// What became of one key of a file, or of one option.
struct ImportedKey {
  enum class Fate { kSetting, kAsHere, kNoInfluence, kNotMapped };
  std::string where;  // "config0_lora.yml:4", "--epoch"
  std::string key, value;
  Fate fate = Fate::kNotMapped;
  std::string setting;  // "peft.rank = 8", where there is one
  std::string note;     // why it is not mapped, or what a reader should know
};
const char* name(ImportedKey::Fate fate);  // "setting", "as here", "no influence", "not mapped"

// Settings of one document, or of all options together.
struct ReleasedPart {
  std::string name;
  std::string strategy;  // empty: settings of every run
  Values settings;
  std::vector<std::string> datasets;  // of the released code: "stanforddogs"
  std::string domain;                 // of DomainNet
  std::vector<std::string> seeds;
};

// Reads one document; where it cannot be a run here (a union of modules, a module without a counterpart), its keys are
// not mapped and the strategy stays empty.
ReleasedPart read_released(const YamlNode& document, const std::string& file, std::vector<ImportedKey>& keys);

// An option of main.py, without its dashes. Throws Error(kUsage) where it is none that is
// understood, or its value is not.
void read_option(const std::string& option, const std::string& value, ReleasedPart& part,
                 std::vector<ImportedKey>& keys);
std::vector<std::string> released_options();

struct ImportedStudy {
  std::string toml;
  std::vector<ImportedKey> keys;
};
// `options` hold for every run. Throws what read_yaml throws, Error(kBadData) where no document names a strategy,
// Error(kUsage) for a data set that is not one of the study's.
ImportedStudy import_released(const std::vector<std::string>& files,
                              const std::vector<std::pair<std::string, std::string>>& options);

}  // namespace taut::study
