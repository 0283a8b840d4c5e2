// Image files in folders: one folder a class (ROOT/CLASS/*, ROOT/{train,val,test}/CLASS/*, ROOT/DOMAIN/CLASS/*), or a
// list `file,class_index` whose order is the data set's. Images are decoded when asked for.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "data/csv.h"
#include "data/decode.h"
#include "data/decode_isolated.h"
#include "data/formats.h"
#include "kernels/error.h"
#include "tensor/random.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

struct Entry {
  fs::path file;
  int64_t label;
  int64_t line = 0;  // of the list; 0 in class folders
};

class Files : public Dataset {
 public:
  Files(std::string name, std::vector<Entry> entries, int64_t classes, std::vector<std::string> class_names,
        std::vector<std::string> notes, std::string list = {})
      : name_(std::move(name)),
        list_(std::move(list)),
        entries_(std::move(entries)),
        classes_(classes),
        class_names_(std::move(class_names)),
        notes_(std::move(notes)) {}

  std::string name() const override { return name_; }
  int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  int64_t classes() const override { return classes_; }
  std::string class_name(int64_t c) const override {
    return class_names_.empty() ? std::to_string(c) : class_names_.at(static_cast<size_t>(c));
  }
  int64_t label(int64_t i) const override { return at(i).label; }
  Image image(int64_t i) const override { return decode_file(at(i).file.string()); }
  std::string identity(int64_t i) const override { return file_identity(at(i).file); }
  std::string source(int64_t i) const override {
    const Entry& entry = at(i);
    return list_.empty() ? entry.file.string()
                         : fmt::format("{} (line {} of {})", entry.file.string(), entry.line, list_);
  }
  std::vector<std::string> notes() const override { return notes_; }

 private:
  const Entry& at(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name_, size(), i);
    return entries_[static_cast<size_t>(i)];
  }

  std::string name_, list_;
  std::vector<Entry> entries_;
  int64_t classes_;
  std::vector<std::string> class_names_, notes_;
};

bool hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!hidden(it->path())) paths.push_back(it->path());
  }
  if (error) fail(Exit::kIo, "[{}] expected a readable folder, got: {}", folder.string(), error.message());
  std::sort(paths.begin(), paths.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return paths;
}

std::vector<fs::path> subfolders(const fs::path& folder) {
  std::vector<fs::path> folders = sorted_entries(folder);
  std::error_code circular;  // a link that leads to itself is no folder
  std::erase_if(folders, [&](const fs::path& p) { return !fs::is_directory(p, circular); });
  return folders;
}

std::string joined_names(const std::vector<fs::path>& paths) {
  std::string text;
  for (const fs::path& p : paths) text += (text.empty() ? "" : ", ") + p.filename().string();
  return text;
}

// By extension where it is a known one (a damaged image must be an error, not be passed over), else by content.
bool is_image_file(const fs::path& file) {
  std::string end = file.extension().string();
  for (char& c : end) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  for (const char* known : {".jpg", ".jpeg", ".png", ".bmp", ".tga", ".ppm", ".pgm", ".pnm"}) {
    if (end == known) return true;
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"), std::fclose);
  uint8_t head[16];
  const size_t n = in ? std::fread(head, 1, sizeof head, in.get()) : 0;
  return looks_like_image({head, n}, file.string());
}

// The images of one class folder, in sorted order; what is passed over goes into `skipped`.
std::vector<fs::path> images_of(const fs::path& folder, std::vector<fs::path>& skipped) {
  std::vector<fs::path> images;
  std::error_code circular;
  for (const fs::path& path : sorted_entries(folder)) {
    (fs::is_regular_file(path, circular) && is_image_file(path) ? images : skipped).push_back(path);
  }
  return images;
}

// The folders that hold the split's classes; empty if ROOT/CLASS is all there is.
struct Layout {
  std::vector<fs::path> chosen, all;
};

Layout find_splits(const fs::path& root, const std::string& split) {
  Layout layout;
  fs::path train, validation, test;
  for (const fs::path& p : subfolders(root)) {
    const std::string name = p.filename().string();
    if (name == "train") train = p;
    if (name == "val" || name == "valid" || name == "validation") validation = p;
    if (name == "test") test = p;
  }
  for (const fs::path& p : {train, validation, test}) {
    if (!p.empty()) layout.all.push_back(p);
  }
  if (layout.all.empty()) return layout;
  if (split == "all") {
    layout.chosen = layout.all;
    return layout;
  }
  // ImageNet calls its test images val.
  const fs::path wanted = split == "train" ? train : split == "validation" || test.empty() ? validation : test;
  if (wanted.empty()) {
    fail(Exit::kMissing, "[{}] expected a folder for the split '{}', got {}", root.string(), split,
         joined_names(layout.all));
  }
  layout.chosen = {wanted};
  return layout;
}

// Leaves the images of one split.
void divide(std::vector<fs::path>& images, const std::string& split, uint64_t seed, int64_t label) {
  const std::vector<int64_t> tests = drawn_for_testing(static_cast<int64_t>(images.size()), seed, label);
  std::vector<fs::path> kept;
  for (size_t i = 0; i < images.size(); ++i)
    if (std::ranges::binary_search(tests, static_cast<int64_t>(i)) == (split == "test")) kept.push_back(images[i]);
  images = std::move(kept);
}

}  // namespace

std::vector<int64_t> drawn_for_testing(int64_t n, uint64_t seed, int64_t label) {
  std::vector<int64_t> order = permutation(n, seed, Purpose::kSplit, static_cast<uint64_t>(label));
  order.resize(static_cast<size_t>(n < 2 ? 0 : std::max<int64_t>(1, (n + 2) / 5)));
  std::sort(order.begin(), order.end());
  return order;
}

DatasetPtr open_csv(const fs::path& folder, const fs::path& csv, const DatasetOptions& options) {
  const LabelsCsv list = parse_labels_csv(read_bytes(csv, int64_t{1} << 30), csv.string(), options.classes);
  const std::string split = options.split.value_or("test");
  std::vector<Entry> entries;
  std::map<int64_t, std::vector<int64_t>> open_rows;  // by label, the lines of images that the list puts in no split
  for (const LabelsCsv::Row& row : list.rows) {
    const fs::path file = folder / row.file;
    if (!fs::is_regular_file(file)) {
      fail(Exit::kMissing, "[{}] expected an image file, as line {} of {} lists it, got none", file.string(), row.line,
           csv.string());
    }
    if (list.has_domains && !options.domain.empty() && row.domain != options.domain) continue;
    const bool in_split = split == "all" || row.split.empty() || row.split == split;
    if (row.split.empty()) open_rows[row.label].push_back(row.line);
    if (in_split) entries.push_back({file, row.label, row.line});
  }
  std::vector<std::string> notes;
  if (options.divide && options.split && split != "all" && !open_rows.empty()) {
    // Else training and test images would be the same.
    std::set<int64_t> elsewhere;  // lines that are not of this split
    size_t n = 0;
    for (const auto& [label, rows] : open_rows) {
      n += rows.size();
      const std::vector<int64_t> tests = drawn_for_testing(static_cast<int64_t>(rows.size()), options.seed, label);
      for (size_t i = 0; i < rows.size(); ++i)
        if (split != (std::ranges::binary_search(tests, static_cast<int64_t>(i)) ? "test" : "train"))
          elsewhere.insert(rows[i]);
    }
    std::erase_if(entries, [&](const Entry& e) { return elsewhere.contains(e.line); });
    notes.push_back(fmt::format("{} gives {} images no split: a fifth of each class was drawn (seed {}) for testing",
                                csv.filename().string(), n, options.seed));
  }
  if (entries.empty())
    fail(Exit::kMissing, "[{}] expected images of the split '{}'{}, got none", csv.string(), split,
         options.domain.empty() ? "" : " and the domain '" + options.domain + "'");
  std::vector<std::string> names = list.class_names;
  if (options.classes > 0)
    for (auto c = static_cast<int64_t>(names.size()); c < options.classes; ++c) names.push_back(std::to_string(c));
  const auto classes = static_cast<int64_t>(names.size());
  return std::make_shared<Files>(folder_name(folder), std::move(entries), classes, std::move(names), std::move(notes),
                                 csv.string());
}

std::vector<std::string> folder_domains(const fs::path& folder) {
  std::vector<std::string> domains;
  if (!find_splits(folder, "all").all.empty()) return domains;
  for (const fs::path& p : subfolders(folder))
    if (!subfolders(p).empty()) domains.push_back(p.filename().string());
  return domains;
}

DatasetPtr open_class_folders(const fs::path& folder, const DatasetOptions& options) {
  fs::path root = folder;
  if (!options.domain.empty()) {
    root /= options.domain;
    if (!fs::is_directory(root)) {
      fail(Exit::kMissing, "[{}] expected a domain of data.path ({}), got '{}'", folder.string(),
           joined_names(subfolders(folder)), options.domain);
    }
  }
  const std::string split = options.split.value_or("test");
  const Layout layout = find_splits(root, split);
  const bool unsplit = layout.all.empty();
  const bool divided = unsplit && options.split && split != "all";
  if (divided && split == "validation") {
    fail(Exit::kMissing, "[{}] expected a folder for the split 'validation', got classes only", root.string());
  }

  // Of every split and domain, so that a class without images in one keeps its number there.
  std::set<std::string> class_set;
  const std::vector<std::string> domains = folder_domains(folder);
  for (const std::string& domain : options.domain.empty() ? std::vector<std::string>{""} : domains) {
    const std::vector<fs::path> splits = find_splits(folder / domain, "all").all;
    for (const fs::path& part : splits.empty() ? std::vector{folder / domain} : splits)
      for (const fs::path& p : subfolders(part)) class_set.insert(p.filename().string());
  }
  const std::vector<std::string> classes(class_set.begin(), class_set.end());
  std::vector<Entry> entries;
  std::vector<fs::path> skipped;
  for (const fs::path& part : unsplit ? std::vector{root} : layout.chosen) {
    for (size_t c = 0; c < classes.size(); ++c) {
      if (!fs::is_directory(part / classes[c])) continue;
      const auto label = static_cast<int64_t>(c);
      std::vector<fs::path> images = images_of(part / classes[c], skipped);
      if (divided) divide(images, split, options.seed, label);
      for (fs::path& image : images) entries.push_back({std::move(image), label});
    }
  }
  if (entries.empty()) {
    if (!domains.empty() && options.domain.empty()) {
      fail(Exit::kUsage, "[{}] expected CLASS/*.jpg, got folders of folders; hint: data.domain= one of {}",
           root.string(), joined_names(subfolders(root)));
    }
    fail(Exit::kBadData, "[{}] expected images in class folders (or CIFAR, IDX or labels.csv files), got none",
         root.string());
  }
  // Notes go into results, which are the same bytes wherever the data lie: no paths but those inside the folder.
  const std::string name = options.domain.empty() ? folder_name(folder) : folder_name(folder) + "-" + options.domain;
  std::vector<std::string> notes;
  if (divided)
    notes.push_back(fmt::format("{} comes without a split: a fifth of each class was drawn (seed {}) for testing", name,
                                options.seed));
  for (const fs::path& p : skipped)
    notes.push_back(fmt::format("skipped {}: not an image file", p.lexically_relative(folder).string()));
  return std::make_shared<Files>(name, std::move(entries), static_cast<int64_t>(classes.size()), classes,
                                 std::move(notes));
}

}  // namespace taut
