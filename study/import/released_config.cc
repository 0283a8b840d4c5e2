#include "study/import/released_config.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "kernels/error.h"
#include "study/config_text.h"
#include "study/presets.h"
#include "study/toml.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

// The preset of the whole study, whose protocol an import has and whose data sets it names.
const TomlTable& whole_study() {
  static const TomlTable table = parse_toml(preset("paper").text, "paper");
  return table;
}

std::string line_of(const std::string& key, const std::string& value) {
  static const std::string kOfficial = "official.";
  const std::string plain = key.starts_with(kOfficial) ? key.substr(kOfficial.size()) : key;
  return key + " = " + toml_value(plain, value) + "\n";
}

std::string lines_of(const Values& values) {
  std::string lines;
  for (const auto& [key, value] : values) lines += line_of(key, value);
  return lines;
}

std::string list_of(const std::vector<std::string>& items, bool quoted) {
  std::string list;
  for (const std::string& item : items) list += (list.empty() ? "" : ", ") + (quoted ? toml_string(item) : item);
  return "[" + list + "]";
}

// The study's own name of a data set of the released code, and of a domain.
std::string dataset_name(const std::string& released, const std::string& domain) {
  const std::string name = released == "stanforddogs" ? "stanford_dogs" : released;
  return name == "domainnet" && !domain.empty() ? name + "-" + domain : name;
}

std::string dataset_table(const std::string& released, const std::string& domain) {
  const std::string wanted = dataset_name(released, domain);
  std::vector<std::string> names;
  for (const TomlTable& table : whole_study().tables.at("study.dataset")) {
    Values values = table.values;
    const std::string name = values.at("name");
    names.push_back(name);
    if (name != wanted) continue;
    values.erase("name");
    return "\n[[study.dataset]]\nname = " + toml_string(name) + "\n" + lines_of(values);
  }
  TAUT_CHECK(released != "domainnet",
             "[--domainnet_train_domain] expected one of DomainNet's domains, on which the released code trains, got "
             "'{}'; hint: {}",
             domain, did_you_mean(wanted, names));
  fail(Exit::kUsage, "[--dataset] '{}' is no data set of the study; hint: {}", released, did_you_mean(wanted, names));
}

// "config0_lora.yml" -> "config0_lora"; a second one of that name gets a number.
std::string part_name(const std::string& file, std::set<std::string>& used) {
  std::string stem = std::filesystem::path(file).stem().string().substr(0, 40);
  std::ranges::replace_if(
      stem, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_' && c != '.'; }, '_');
  if (stem.empty()) stem = "config";
  std::string name = stem;
  for (int i = 2; !used.insert(name).second; ++i) name = fmt::format("{}-{}", stem, i);
  return name;
}

void append_new(std::vector<std::string>& to, const std::vector<std::string>& from) {
  for (const std::string& item : from)
    if (std::ranges::count(to, item) == 0) to.push_back(item);
}

std::string comments(const std::vector<std::string>& files, const std::vector<ImportedKey>& keys) {
  std::string text = "# Imported by taut study import-config from " + list_of(files, true) +
                     ", configurations of the study's released code.\n";
  text +=
      "# What those do not say is the preset paper's: the protocol, hinted learning rates, 20 epochs. Of the two "
      "modes,\n"
      "# study.mode=official copies what the released code does where it changes numbers.\n";
  bool first = true;
  for (const ImportedKey& key : keys) {
    if (key.fate != ImportedKey::Fate::kNotMapped) continue;
    if (first) text += "#\n# Not mapped:\n";
    first = false;
    text += "#   " + toml_string(key.where) + " " + toml_string(key.key) + " = " + toml_string(key.value) + ": " +
            toml_string(key.note) + "\n";
  }
  return text;
}

}  // namespace

ImportedStudy import_released(const std::vector<std::string>& files,
                              const std::vector<std::pair<std::string, std::string>>& options) {
  ImportedStudy study;
  ReleasedPart whole;
  std::vector<ReleasedPart> parts;
  std::set<std::string> used;
  for (const std::string& file : files) {
    for (const YamlNode& document : read_yaml(file)) {
      ReleasedPart part = read_released(document, file, study.keys);
      append_new(whole.datasets, part.datasets);
      append_new(whole.seeds, part.seeds);
      if (!part.domain.empty()) whole.domain = part.domain;
      if (part.strategy.empty()) {
        whole.settings.insert(part.settings.begin(), part.settings.end());
        continue;
      }
      part.name = part_name(file, used);
      parts.push_back(std::move(part));
    }
  }
  ReleasedPart said;
  for (const auto& [option, value] : options) {
    read_option(option, value, said, study.keys);
    if (said.strategy.empty()) continue;
    ReleasedPart& part = parts.emplace_back();
    part.name = part_name(value, used);
    part.strategy = std::exchange(said.strategy, "");
  }
  if (!said.datasets.empty()) whole.datasets = said.datasets;
  if (!said.seeds.empty()) whole.seeds = said.seeds;
  if (!said.domain.empty()) whole.domain = said.domain;
  if (parts.empty())
    fail(
        Exit::kBadData,
        "[{}] expected a strategy that there is here: Modules: ['lora'], ['bn'], ['compacter'], ['bitfit'] or ['ia3'], "
        "or --adapter_name finetune or lp",
        fmt::join(files, ", "));

  Values settings;
  for (const auto& [key, value] : whole_study().values)
    if (!key.starts_with("study.")) settings[key] = value;
  for (const auto& [key, value] : whole.settings) settings[key] = value;
  for (const auto& [key, value] : said.settings) settings[key] = value;
  std::vector<std::string> strategies;
  for (const ReleasedPart& part : parts) append_new(strategies, {part.strategy});
  study.toml = comments(files, study.keys) + lines_of(settings) +
               "\n[study]\ntitle = \"Imported: " + parts.front().name + (parts.size() > 1 ? " and others" : "") +
               "\"\nstrategies = " + list_of(strategies, true) + "\n";
  if (!whole.seeds.empty()) study.toml += "seeds = " + list_of(whole.seeds, false) + "\n";
  if (whole.datasets.empty()) whole.datasets = {"cifar10"};  // its own example
  for (const std::string& dataset : whole.datasets) study.toml += dataset_table(dataset, whole.domain);
  for (ReleasedPart& part : parts) {
    // An option holds for every run, though a table of a file is stronger than the top of it.
    for (const auto& [key, value] : said.settings) part.settings.erase(key);
    study.toml += "\n[[study.setting]]\nname = " + toml_string(part.name) +
                  "\nstrategies = " + list_of({part.strategy}, true) + "\n" + lines_of(part.settings);
  }
  return study;
}

}  // namespace taut::study
