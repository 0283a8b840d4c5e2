#include "data/import/layout.h"

#include <algorithm>
#include <set>

#include "data/formats.h"
#include "data/import/entry_path.h"
#include "kernels/error.h"

namespace taut {

Layout::Use Layout::use(const std::string&) const { return Use::kImage; }

std::unique_ptr<Layout> layout_of(const std::string& name) {
  if (name == "cub200") return cub200_layout();
  if (name == "stanford_dogs") return stanford_dogs_layout();
  if (name == "domainnet") return domainnet_layout();
  if (name == "caltech256") return caltech256_layout();
  if (name == "grocery81") return grocery81_layout();
  if (name == "folder_csv") return folder_csv_layout();
  if (name == "cifar10" || name == "cifar100") return cifar_layout(name);
  if (name == "idx") return idx_layout();
  return class_folder_layout(name);
}

void place_images(const ImportContents& contents, Manifest& manifest,
                  const std::function<Placement(const std::string& path)>& place) {
  for (const ManifestFile& file : contents.images) {
    Placement where = place(file.file);
    if (const auto* reason = std::get_if<std::string>(&where)) {
      manifest.skipped.push_back({file.file, *reason});
      continue;
    }
    Place& p = std::get<Place>(where);
    manifest.images.push_back(
        {file.file, -1, p.label, std::move(p.split), std::move(p.domain), file.bytes, file.sha256});
  }
}

void split_by_seed(Manifest& manifest, uint64_t seed) {
  std::map<std::pair<std::string, int64_t>, std::vector<size_t>> groups;
  for (size_t i = 0; i < manifest.images.size(); ++i)
    groups[{manifest.images[i].domain, manifest.images[i].label}].push_back(i);
  for (const auto& [key, members] : groups) {
    for (const size_t i : members) manifest.images[i].split = "train";
    for (const int64_t k : drawn_for_testing(static_cast<int64_t>(members.size()), seed, key.second))
      manifest.images[members[static_cast<size_t>(k)]].split = "test";
  }
  manifest.split_drawn = true;
  manifest.split_rule = fmt::format(
      "No official split: a fifth of each class{} was drawn for testing by the seed {}, the rest is for training.",
      manifest.domains.empty() ? "" : " in each domain", seed);
}

std::map<std::string, int64_t> number_classes(const std::vector<std::string>& names, Manifest& manifest) {
  const std::set<std::string> sorted(names.begin(), names.end());
  manifest.classes.assign(sorted.begin(), sorted.end());
  std::map<std::string, int64_t> numbers;
  for (const std::string& name : sorted) numbers.emplace(name, static_cast<int64_t>(numbers.size()));
  return numbers;
}

const std::pair<const std::string, std::vector<uint8_t>>& list_named(const ImportContents& contents,
                                                                     const std::string& name,
                                                                     const std::string& dataset) {
  const std::pair<const std::string, std::vector<uint8_t>>* best = nullptr;
  for (const auto& list : contents.lists) {
    if (base_name(list.first) == name &&
        (best == nullptr || std::ranges::count(list.first, '/') < std::ranges::count(best->first, '/')))
      best = &list;
  }
  if (best == nullptr) fail(Exit::kMissing, "[{}] expected the list {} in the archives, got none", dataset, name);
  return *best;
}

void report_absent(const std::vector<std::string>& absent, const std::string& list, Manifest& manifest) {
  if (absent.empty()) return;
  manifest.complete = false;
  manifest.differences.push_back(fmt::format("{} of the images that {} names {} not in the archives, first '{}'",
                                             absent.size(), list, absent.size() == 1 ? "is" : "are", absent[0]));
}

std::vector<std::string> components_of(const std::string& path) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace taut
