// Data sets whose folders are their classes: Caltech-256, Caltech-101, PACS, ImageNet, Grocery-81 and any other; and
// folders with a list in CSV.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>
#include <unordered_map>

#include "data/csv.h"
#include "data/formats.h"
#include "data/import/entry_path.h"
#include "data/import/known.h"
#include "data/import/layout.h"
#include "kernels/error.h"

namespace taut {
namespace {

const char* split_of_folder(const std::string& name) {
  if (name == "train") return "train";
  if (name == "val" || name == "valid" || name == "validation") return "validation";
  return name == "test" ? "test" : nullptr;
}

std::string inside_a_class(const std::vector<std::string>& parts, size_t at) {
  return fmt::format("in the folder '{}' inside a class", parts[at]);
}

// NNN.name/NNN_IIII.jpg, wherever the folder of the classes lies.
class Caltech256 : public Layout {
 public:
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    std::vector<std::string> names;
    for (const ManifestFile& image : contents.images) {
      const std::vector<std::string> parts = components_of(image.file);
      const size_t at = class_at(parts);
      if (at + 2 == parts.size()) names.push_back(parts[at]);
    }
    const auto numbers = number_classes(names, manifest);
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      const std::vector<std::string> parts = components_of(path);
      const size_t at = class_at(parts);
      if (at + 1 >= parts.size()) return "outside the folders NNN.name of the classes";
      if (at + 2 < parts.size()) return inside_a_class(parts, at + 1);
      return Place{numbers.at(parts[at]), "", ""};
    });
    split_by_seed(manifest, contents.seed);
  }

 private:
  static size_t class_at(const std::vector<std::string>& parts) {
    const auto it = std::ranges::find_if(parts, [](const std::string& p) {
      return p.size() > 4 &&
             std::all_of(p.begin(), p.begin() + 3, [](unsigned char c) { return std::isdigit(c) != 0; }) && p[3] == '.';
    });
    return static_cast<size_t>(it - parts.begin());
  }
};

// CLASS/*, SPLIT/CLASS/*, DOMAIN/CLASS/* or DOMAIN/SPLIT/CLASS/*, below any folders that all images share.
class ClassFolders : public Layout {
 public:
  explicit ClassFolders(std::string name) : name_(std::move(name)) {}

  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    std::vector<std::vector<std::string>> paths;
    for (const ManifestFile& image : contents.images) paths.push_back(components_of(image.file));
    const size_t top = shared_folders(paths);
    const bool domains = has_domains(paths, top);
    std::map<std::string, Found> found;
    std::vector<std::string> names;
    std::set<std::string> domain_names, splits;
    for (size_t i = 0; i < paths.size(); ++i) {
      Found f = find(paths[i], top, domains);
      if (f.reason.empty()) splits.insert(f.split);
      found.emplace(contents.images[i].file, std::move(f));
    }
    if (splits.size() > 1 && splits.erase("") > 0) skip_unsplit(found, manifest);
    for (const auto& [file, f] : found) {
      if (!f.reason.empty()) continue;
      names.push_back(f.name);
      if (!f.domain.empty()) domain_names.insert(f.domain);
    }
    const auto numbers = number_classes(names, manifest);
    manifest.domains.assign(domain_names.begin(), domain_names.end());
    const bool has_test = splits.contains("test");
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      Found& f = found.at(path);
      if (!f.reason.empty()) return f.reason;
      // ImageNet calls its test images val.
      if (f.split == "validation" && !has_test) f.split = "test";
      return Place{numbers.at(f.name), f.split, f.domain};
    });
    if (splits.contains(""))
      split_by_seed(manifest, contents.seed);
    else
      manifest.split_rule = "The folders' (train, val, test).";
  }

 protected:
  struct Found {
    std::string domain, split, name, reason;
  };

  // How many leading folders say nothing, since all images share them. A split's or a known domain's name says much.
  size_t shared_folders(const std::vector<std::vector<std::string>>& paths) const {
    size_t top = 0;
    if (paths.empty()) return top;
    while (std::ranges::all_of(paths, [&](const auto& p) { return p.size() > top + 2 && p[top] == paths[0][top]; }) &&
           split_of_folder(paths[0][top]) == nullptr && !is_known_domain(paths[0][top]))
      ++top;
    return top;
  }

 private:
  bool is_known_domain(const std::string& folder) const {
    return name_ == "pacs" && std::ranges::count(kPacs, folder) > 0;
  }

  // True where no image lies directly in a class's folder.
  bool has_domains(const std::vector<std::vector<std::string>>& paths, size_t top) const {
    if (name_ == "pacs") return true;
    if (name_ != "folder" || paths.empty()) return false;
    return std::ranges::all_of(
        paths, [&](const auto& p) { return p.size() >= top + 3 && split_of_folder(p[top]) == nullptr; });
  }

  // Where some images are in a split's folder, the others belong to no split.
  static void skip_unsplit(std::map<std::string, Found>& found, Manifest& manifest) {
    int64_t skipped = 0;
    for (auto& [file, f] : found) {
      if (!f.reason.empty() || !f.split.empty()) continue;
      f.reason = "outside the folders of the splits, which other images are in";
      ++skipped;
    }
    manifest.differences.push_back(
        fmt::format("{} images outside the folders of the splits (train, val, test) were skipped", skipped));
  }

  Found find(const std::vector<std::string>& parts, size_t top, bool domains) const {
    Found f;
    size_t at = top;
    if (domains) {
      if (name_ == "pacs")
        at = static_cast<size_t>(std::ranges::find_if(parts, [&](const auto& p) { return is_known_domain(p); }) -
                                 parts.begin());
      if (at + 2 >= parts.size()) {
        f.reason = "outside the folders DOMAIN/CLASS";
        return f;
      }
      f.domain = parts[at++];
    }
    if (at + 2 < parts.size() && split_of_folder(parts[at]) != nullptr) f.split = split_of_folder(parts[at++]);
    if (at + 1 >= parts.size()) {
      f.reason = "outside the folders of the classes";
    } else if (name_ == "imagenet_folder" && at + 2 == parts.size() && split_of_folder(parts[at]) != nullptr) {
      f.reason = fmt::format("directly in the folder '{}', in none of a class", parts[at]);
    } else if (at + 2 < parts.size()) {
      f.reason = inside_a_class(parts, at + 1);
    } else if (name_ == "caltech101" && parts[at] == "BACKGROUND_Google") {
      f.reason = "background, none of the 101 classes";
    }
    if (f.reason.empty()) f.name = parts[at];
    return f;
  }

  static constexpr const char* kPacs[] = {"photo", "art_painting", "cartoon", "sketch"};
  std::string name_;
};

int64_t whole_number(std::string_view text, const std::string& list, size_t line, int64_t below) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  text = text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
  int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0 || n >= below)
    fail(Exit::kBadData, "[{}] line {}: expected a class index in [0, {}), got '{}'", list, line, below, text);
  return n;
}

// {train,val,test}.txt with lines "path, fine label, coarse label" and classes.csv; or class folders.
class Grocery81 : public ClassFolders {
 public:
  Grocery81() : ClassFolders("grocery81") {}
  Use use(const std::string& path) const override {
    for (const char* name : {"train.txt", "val.txt", "test.txt", "classes.csv"})
      if (base_name(path) == name) return Use::kList;
    return Use::kImage;
  }
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    if (contents.lists.empty()) return ClassFolders::arrange(contents, manifest);
    std::unordered_map<std::string, Place> places;
    std::vector<std::string> order;
    int64_t classes = 0;
    for (const char* split : {"train", "val", "test"}) {
      const auto is_named = [&](const auto& l) { return base_name(l.first) == std::string(split) + ".txt"; };
      if (std::string(split) == "val" && std::ranges::none_of(contents.lists, is_named)) continue;
      const auto& [list, bytes] = list_named(contents, std::string(split) + ".txt", "grocery81");
      const std::string top(folder_of(list));
      size_t number = 0;
      for (const std::string& line : lines_of(bytes)) {
        ++number;
        if (line.empty()) continue;
        const std::vector<std::string> fields = split_csv(line);
        if (fields.size() < 2) fail(Exit::kBadData, "[{}] line {}: expected a path and a label", list, number);
        const std::string path = (top.empty() ? "" : top + "/") + fields[0];
        const int64_t label = whole_number(fields[1], list, number, most_classes());
        if (!places.try_emplace(path, Place{label, split_of_folder(split), ""}).second)
          fail(Exit::kBadData, "[{}] line {}: '{}' comes twice", list, number, fields[0]);
        order.push_back(path);
        classes = std::max(classes, label + 1);
      }
    }
    manifest.classes = class_names(contents, classes);
    std::set<std::string> seen;
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      const auto it = places.find(path);
      if (it == places.end()) return "listed in none of train.txt, val.txt and test.txt";
      seen.insert(path);
      return it->second;
    });
    std::erase_if(order, [&](const std::string& path) { return seen.contains(path); });
    report_absent(order, "the lists", manifest);
    manifest.split_rule = "The official one: train.txt, val.txt and test.txt.";
  }

 private:
  // Other versions of the set may have more than the known one; a damaged list must not make a million.
  static int64_t most_classes() { return 2 * known_dataset("grocery81").classes; }
  static std::vector<std::string> class_names(const ImportContents& contents, int64_t classes) {
    std::vector<std::string> names;
    for (int64_t c = 0; c < classes; ++c) names.push_back(fmt::format("class {}", c));
    for (const auto& [list, bytes] : contents.lists) {
      if (base_name(list) != "classes.csv") continue;
      const std::vector<std::string> lines = lines_of(bytes);
      for (size_t i = 1; i < lines.size(); ++i) {
        const std::vector<std::string> fields = split_csv(lines[i]);
        if (fields.size() < 2) continue;
        const int64_t c = whole_number(fields[1], list, i + 1, most_classes());
        if (c < classes) names[static_cast<size_t>(c)] = fields[0];
      }
    }
    return names;
  }
};

// labels.csv: file,class_index and, where wanted, class_name, split and domain. The order is the list's.
class FolderCsv : public Layout {
 public:
  Use use(const std::string& path) const override { return base_name(path) == "labels.csv" ? Use::kList : Use::kImage; }
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    const auto& [list, bytes] = list_named(contents, "labels.csv", "folder_csv");
    const LabelsCsv csv = parse_labels_csv(bytes, list);
    const std::string top = folder_of(list).empty() ? "" : std::string(folder_of(list)) + "/";
    std::unordered_map<std::string, const ManifestFile*> files;
    for (const ManifestFile& image : contents.images) files.emplace(image.file, &image);
    std::set<std::string> used, domains;
    std::vector<std::string> absent;
    for (const LabelsCsv::Row& row : csv.rows) {
      if (row.domain.empty() != csv.rows[0].domain.empty())
        fail(Exit::kBadData, "[{}] line {}: expected a domain in every line or in none, got '{}' and in line {} '{}'",
             list, row.line, row.domain, csv.rows[0].line, csv.rows[0].domain);
      const std::string path = top + row.file;
      const auto it = files.find(path);
      if (it == files.end()) {
        absent.push_back(row.file);
        continue;
      }
      used.insert(path);
      if (!row.domain.empty()) domains.insert(row.domain);
      manifest.images.push_back({path, -1, row.label, row.split.empty() ? "all" : row.split, row.domain,
                                 it->second->bytes, it->second->sha256});
    }
    manifest.classes = csv.class_names;
    manifest.domains.assign(domains.begin(), domains.end());
    for (const ManifestFile& image : contents.images)
      if (!used.contains(image.file)) manifest.skipped.push_back({image.file, "not listed in labels.csv"});
    report_absent(absent, "labels.csv", manifest);
    manifest.split_rule = csv.has_splits ? "The column 'split' of labels.csv." : "None: every image is in every split.";
  }
};

}  // namespace

std::unique_ptr<Layout> caltech256_layout() { return std::make_unique<Caltech256>(); }
std::unique_ptr<Layout> class_folder_layout(const std::string& name) { return std::make_unique<ClassFolders>(name); }
std::unique_ptr<Layout> grocery81_layout() { return std::make_unique<Grocery81>(); }
std::unique_ptr<Layout> folder_csv_layout() { return std::make_unique<FolderCsv>(); }

}  // namespace taut
