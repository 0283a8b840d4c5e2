// Data sets whose authors list every image: CUB-200-2011, Stanford Dogs, DomainNet.
#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

#include "data/formats.h"
#include "data/import/entry_path.h"
#include "data/import/layout.h"
#include "data/import/matlab.h"
#include "kernels/error.h"

namespace taut {
namespace {

constexpr int64_t kMaxNumber = 10'000'000;

[[noreturn]] void broken(const std::string& list, size_t line, const std::string& what) {
  fail(Exit::kBadData, "[{}] line {}: {}", list, line, what);
}

// A whole number in [0, kMaxNumber].
int64_t number_of(std::string_view text, const std::string& list, size_t line) {
  int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0 || n > kMaxNumber)
    broken(list, line, fmt::format("expected a number, got '{}'", text));
  return n;
}

struct Numbered {
  int64_t number;
  std::string text;
  size_t line;
};

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

// Lines "number text"; numbers count from 1 and come in any order, each once.
std::map<int64_t, Numbered> numbered_lines(const std::pair<const std::string, std::vector<uint8_t>>& list) {
  std::map<int64_t, Numbered> items;
  size_t number = 0;
  for (const std::string& line : lines_of(list.second)) {
    ++number;
    if (trimmed(line).empty()) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos) broken(list.first, number, "expected a number and a value");
    const int64_t id = number_of(std::string_view(line).substr(0, space), list.first, number);
    if (id < 1) broken(list.first, number, fmt::format("expected numbers from 1, got {}", id));
    if (!items.try_emplace(id, Numbered{id, trimmed(std::string_view(line).substr(space)), number}).second)
      broken(list.first, number, fmt::format("the number {} comes twice", id));
  }
  if (items.empty()) fail(Exit::kBadData, "[{}] expected lines of a number and a value, got none", list.first);
  return items;
}

// Files of a list, by the path the list has for them.
class Listed {
 public:
  struct Item {
    Place place;
    bool seen = false;
  };
  void add(const std::string& path, Place place, const std::string& list, size_t line) {
    if (const std::string fault = entry_path_fault(path); !fault.empty())
      broken(list, line, fmt::format("the path '{}' {}", path, fault));
    if (!items_.try_emplace(path, Item{std::move(place)}).second)
      broken(list, line, fmt::format("'{}' comes twice", path));
    order_.push_back(path);
  }
  Item* find(const std::string& path) {
    const auto it = items_.find(path);
    return it == items_.end() ? nullptr : &it->second;
  }
  const std::vector<std::string>& paths() const { return order_; }
  std::vector<std::string> absent() const {
    std::vector<std::string> paths;
    for (const std::string& path : order_)
      if (!items_.at(path).seen) paths.push_back(path);
    return paths;
  }

 private:
  std::unordered_map<std::string, Item> items_;
  std::vector<std::string> order_;
};

// The part of a path from the component `mark` on, or behind it; "" where it has none.
std::string from_component(const std::string& path, const std::string& mark, bool behind) {
  const std::string whole = "/" + path;
  const size_t at = whole.find("/" + mark + "/");
  return at == std::string::npos ? std::string{} : whole.substr(at + 1 + (behind ? mark.size() + 1 : 0));
}

// The names of classes that are known from the folders of their images: one folder a label.
class FolderNames {
 public:
  void add(int64_t label, const std::string& folder, const std::string& list, size_t line) {
    const auto [name, first] = names_.try_emplace(label, folder);
    const auto [number, is_new] = labels_.try_emplace(folder, label);
    if (name->second != folder)
      broken(list, line, fmt::format("label {} is of '{}' here and of '{}' before", label, folder, name->second));
    if (number->second != label)
      broken(list, line, fmt::format("'{}' has the label {} here and {} before", folder, label, number->second));
  }
  std::vector<std::string> all() const {
    std::vector<std::string> names;
    if (names_.empty()) return names;
    for (int64_t label = 0; label <= names_.rbegin()->first; ++label) {
      const auto it = names_.find(label);
      names.push_back(it == names_.end() ? fmt::format("class {}", label) : it->second);
    }
    return names;
  }

 private:
  std::map<int64_t, std::string> names_;
  std::map<std::string, int64_t> labels_;
};

Layout::Use list_if(bool is_list) { return is_list ? Layout::Use::kList : Layout::Use::kImage; }

class Cub200 : public Layout {
 public:
  Use use(const std::string& path) const override {
    for (const char* name : {"images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"})
      if (base_name(path) == name) return Use::kList;
    return Use::kImage;
  }
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    const auto& images_list = list_named(contents, "images.txt", "cub200");
    const auto& labels_list = list_named(contents, "image_class_labels.txt", "cub200");
    const auto& split_list = list_named(contents, "train_test_split.txt", "cub200");
    const auto& classes_list = list_named(contents, "classes.txt", "cub200");
    const auto images = numbered_lines(images_list), labels = numbered_lines(labels_list),
               splits = numbered_lines(split_list), classes = numbered_lines(classes_list);
    for (const auto& [id, name] : classes) {
      if (id != static_cast<int64_t>(manifest.classes.size()) + 1)
        broken(classes_list.first, name.line,
               fmt::format("expected class {}, got {}", manifest.classes.size() + 1, id));
      manifest.classes.push_back(name.text);
    }
    const std::string top(folder_of(images_list.first));
    Listed listed;
    for (const auto& [id, image] : images) {
      const Numbered &label = partner(labels, id, labels_list.first), &split = partner(splits, id, split_list.first);
      const int64_t number = number_of(label.text, labels_list.first, label.line);
      if (number < 1 || number > static_cast<int64_t>(classes.size()))
        broken(labels_list.first, label.line,
               fmt::format("expected a class in [1, {}], got {}", classes.size(), number));
      if (split.text != "0" && split.text != "1")
        broken(split_list.first, split.line, fmt::format("expected 0 or 1, got '{}'", split.text));
      listed.add((top.empty() ? "" : top + "/") + "images/" + image.text,
                 {number - 1, split.text == "1" ? "train" : "test", ""}, images_list.first, image.line);
    }
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      Listed::Item* item = listed.find(path);
      if (item == nullptr) return "not listed in images.txt";
      item->seen = true;
      return item->place;
    });
    report_absent(listed.absent(), "images.txt", manifest);
    manifest.split_rule = "The official one: train_test_split.txt.";
  }

 private:
  static const Numbered& partner(const std::map<int64_t, Numbered>& items, int64_t id, const std::string& list) {
    const auto it = items.find(id);
    if (it == items.end()) fail(Exit::kBadData, "[{}] expected a line for image {}, got none", list, id);
    return it->second;
  }
};

class StanfordDogs : public Layout {
 public:
  Use use(const std::string& path) const override { return list_if(path.ends_with(".mat")); }
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    Listed listed;
    FolderNames names;
    for (const char* split : {"train", "test"}) {
      const auto& [list, bytes] = list_named(contents, std::string(split) + "_list.mat", "stanford_dogs");
      const MatlabList items = read_matlab_list(bytes, list);
      for (size_t i = 0; i < items.files.size(); ++i) {
        const std::string& file = items.files[i];
        names.add(items.labels[i] - 1, std::string(folder_of(file)), list, i + 1);
        listed.add(file, {items.labels[i] - 1, split, ""}, list, i + 1);
      }
    }
    manifest.classes = names.all();
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      const std::string inside = from_component(path, "Images", true);
      Listed::Item* item = listed.find(inside.empty() ? path : inside);
      if (item == nullptr) return "listed neither in train_list.mat nor in test_list.mat";
      item->seen = true;
      return item->place;
    });
    report_absent(listed.absent(), "train_list.mat or test_list.mat", manifest);
    compare_whole_list(contents, listed, manifest);
    manifest.split_rule = "The official one: train_list.mat and test_list.mat.";
  }

 private:
  static void compare_whole_list(const ImportContents& contents, Listed& listed, Manifest& manifest) {
    for (const auto& [list, bytes] : contents.lists) {
      if (base_name(list) != "file_list.mat") continue;
      const MatlabList whole = read_matlab_list(bytes, list);
      const auto unlisted = std::ranges::count_if(whole.files, [&](const std::string& f) { return !listed.find(f); });
      if (unlisted > 0 || whole.files.size() != listed.paths().size())
        manifest.differences.push_back(fmt::format("file_list.mat has {} images, the lists of the split {}",
                                                   whole.files.size(), listed.paths().size()));
    }
  }
};

class DomainNet : public Layout {
 public:
  Use use(const std::string& path) const override { return list_if(!domain_and_split(path).first.empty()); }
  void arrange(const ImportContents& contents, Manifest& manifest) const override {
    std::set<std::string> domains;
    for (const auto& list : contents.lists) domains.insert(domain_and_split(list.first).first);
    for (const ManifestFile& image : contents.images)
      if (const std::string domain = domain_of(image.file); !domain.empty()) domains.insert(domain);
    if (domains.empty()) fail(Exit::kMissing, "[domainnet] expected archives of domains and their lists, got none");
    manifest.domains.assign(domains.begin(), domains.end());
    Listed listed;
    FolderNames names;
    for (const std::string& domain : manifest.domains)
      for (const char* split : {"train", "test"})
        add_list(list_named(contents, domain + "_" + split + ".txt", "domainnet"), domain, split, listed, names);
    manifest.classes = names.all();
    place_images(contents, manifest, [&](const std::string& path) -> Placement {
      const std::string domain = domain_of(path);
      if (domain.empty()) return "outside the folders of the domains";
      Listed::Item* item = listed.find(from_component(path, domain, false));
      if (item == nullptr) return fmt::format("listed neither in {0}_train.txt nor in {0}_test.txt", domain);
      item->seen = true;
      return item->place;
    });
    report_absent(listed.absent(), "the lists", manifest);
    report_empty_classes(listed, manifest);
    manifest.split_rule = "The official one: DOMAIN_train.txt and DOMAIN_test.txt.";
  }

 private:
  static constexpr const char* kDomains[] = {"clipart", "infograph", "painting", "quickdraw", "real", "sketch"};

  static std::pair<std::string, std::string> domain_and_split(const std::string& path) {
    for (const char* domain : kDomains)
      for (const char* split : {"train", "test"})
        if (base_name(path) == fmt::format("{}_{}.txt", domain, split)) return {domain, split};
    return {};
  }
  static std::string domain_of(const std::string& path) {
    std::vector<std::string> parts = components_of(path);
    parts.pop_back();
    const auto it =
        std::ranges::find_if(parts, [](const std::string& p) { return std::ranges::count(kDomains, p) > 0; });
    return it == parts.end() ? std::string{} : *it;
  }
  static void add_list(const std::pair<const std::string, std::vector<uint8_t>>& list, const std::string& domain,
                       const std::string& split, Listed& listed, FolderNames& names) {
    size_t number = 0;
    for (const std::string& line : lines_of(list.second)) {
      ++number;
      if (trimmed(line).empty()) continue;
      const size_t space = line.rfind(' ');
      if (space == std::string::npos) broken(list.first, number, "expected a path and a label");
      const std::string path = line.substr(0, space);
      const int64_t label = number_of(std::string_view(line).substr(space + 1), list.first, number);
      const std::vector<std::string> parts = components_of(path);
      if (parts.size() != 3 || parts[0] != domain)
        broken(list.first, number, fmt::format("expected {}/CLASS/FILE and a label, got '{}'", domain, line));
      if (label >= kMaxClasses) broken(list.first, number, fmt::format("label {} is too large", label));
      names.add(label, parts[1], list.first, number);
      listed.add(path, {label, split, domain}, list.first, number);
    }
  }
  static void report_empty_classes(Listed& listed, Manifest& manifest) {
    std::map<std::string, std::set<int64_t>> seen;
    for (const std::string& path : listed.paths()) {
      const Place& place = listed.find(path)->place;
      seen[place.domain + "_" + place.split + ".txt"].insert(place.label);
    }
    for (const auto& [list, labels] : seen)
      for (size_t c = 0; c < manifest.classes.size(); ++c)
        if (!labels.contains(static_cast<int64_t>(c)))
          manifest.differences.push_back(fmt::format("{} has no image of class {} ({})", list, c, manifest.classes[c]));
  }
  static constexpr int64_t kMaxClasses = 100'000;
};

}  // namespace

std::unique_ptr<Layout> cub200_layout() { return std::make_unique<Cub200>(); }
std::unique_ptr<Layout> stanford_dogs_layout() { return std::make_unique<StanfordDogs>(); }
std::unique_ptr<Layout> domainnet_layout() { return std::make_unique<DomainNet>(); }

}  // namespace taut
