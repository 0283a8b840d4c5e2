#include "data/manifest.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "data/csv.h"
#include "data/formats.h"
#include "data/import/entry_path.h"
#include "kernels/error.h"
#include "tensor/atomic_file.h"
#include "tensor/sha256.h"

namespace taut {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "tautline data 1";
constexpr const char* kHeader = "manifest.json";
constexpr const char* kList = "images.csv";
constexpr const char* kColumns = "file,record,class_index,split,domain,bytes,sha256";
constexpr int64_t kMaxHeader = int64_t{256} << 20, kMaxList = int64_t{2} << 30, kMaxClasses = 1'000'000;
constexpr int kMaxDepth = 8;

Json to_json(const std::vector<ManifestFile>& files) {
  Json list = Json::array();
  for (const ManifestFile& f : files) list.push_back({{"file", f.file}, {"bytes", f.bytes}, {"sha256", f.sha256}});
  return list;
}

Json header_of(const Manifest& m) {
  Json skipped = Json::array();
  for (const SkippedFile& s : m.skipped) skipped.push_back({{"file", s.file}, {"reason", s.reason}});
  return {{"format", kFormat},
          {"name", m.name},
          {"layout", m.layout},
          {"folder", m.folder},
          {"images", m.images.size()},
          {"train", m.count("train")},
          {"validation", m.count("validation")},
          {"test", m.count("test")},
          {"complete", m.complete},
          {"differences", m.differences},
          {"split", m.split_rule},
          {"split_drawn", m.split_drawn},
          {"seed", m.seed},
          {"domains", m.domains},
          {"classes", m.classes},
          {"notes", m.notes},
          {"archives", to_json(m.archives)},
          {"files", to_json(m.files)},
          {"skipped", skipped},
          {"sha256", m.sha256}};
}

std::string list_of(const Manifest& m) {
  std::string text = std::string(kColumns) + "\n";
  for (const ManifestImage& i : m.images) {
    text += fmt::format("{},{},{},{},{},{},{}\n", csv_field(i.file), i.record < 0 ? "" : std::to_string(i.record),
                        i.label, i.split, csv_field(i.domain), i.bytes, i.sha256);
  }
  return text;
}

bool is_split(const std::string& s) { return s == "train" || s == "validation" || s == "test" || s == "all"; }

bool is_sha256(const std::string& s) {
  return s.size() == 64 && s.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Fields of a JSON object, each with the name of the file in its error.
class Fields {
 public:
  Fields(const Json& json, std::string file) : json_(json), file_(std::move(file)) {
    if (!json.is_object()) fail(Exit::kBadData, "[{}] expected an object", file_);
  }
  template <class T>
  T get(const char* key) const {
    try {
      return json_.at(key).get<T>();
    } catch (const nlohmann::json::exception& error) {
      fail(Exit::kBadData, "[{}] field '{}': {}", file_, key, error.what());
    }
  }
  template <class T>
  std::vector<T> list(const char* key, const std::function<T(const Fields&)>& item) const {
    std::vector<T> items;
    for (const Json& j : get<std::vector<Json>>(key)) items.push_back(item(Fields(j, file_ + " " + key)));
    return items;
  }
  // A path within the data set's folder.
  std::string path(const char* key) const {
    std::string path = get<std::string>(key);
    const std::string fault = entry_path_fault(path);
    if (!fault.empty()) fail(Exit::kBadData, "[{}] field '{}': the path '{}' {}", file_, key, path, fault);
    return path;
  }
  int64_t size(const char* key) const {
    const auto n = get<int64_t>(key);
    if (n < 0) fail(Exit::kBadData, "[{}] field '{}': expected at least 0, got {}", file_, key, n);
    return n;
  }
  std::string sha256(const char* key) const {
    std::string text = get<std::string>(key);
    if (!is_sha256(text)) fail(Exit::kBadData, "[{}] field '{}': expected 64 hexadecimal digits", file_, key);
    return text;
  }

 private:
  const Json& json_;
  std::string file_;
};

// Nested deeper than any manifest is, a text could exhaust the parser's stack.
Json parse(const std::string& text, const std::string& file) {
  bool deep = false;
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    deep = deep || depth > kMaxDepth;
    return !deep;
  };
  try {
    Json json = Json::parse(text, shallow);
    if (deep) fail(Exit::kBadData, "[{}] nested deeper than {}", file, kMaxDepth);
    return json;
  } catch (const nlohmann::json::exception& error) {
    fail(Exit::kBadData, "[{}] expected JSON, got: {}", file, error.what());
  }
}

struct Header {
  Manifest manifest;
  int64_t images = 0;
};

Header read_header(const fs::path& folder) {
  const std::string file = (folder / kHeader).string();
  const std::vector<uint8_t> bytes = read_bytes(file, kMaxHeader);
  const Json json = parse(std::string(bytes.begin(), bytes.end()), file);
  const Fields f(json, file);
  if (f.get<std::string>("format") != kFormat)
    fail(Exit::kBadData, "[{}] expected the format '{}', got '{}'", file, kFormat, f.get<std::string>("format"));
  Header h;
  Manifest& m = h.manifest;
  m.name = f.get<std::string>("name");
  m.layout = f.get<std::string>("layout");
  if (m.layout != "images" && m.layout != "cifar" && m.layout != "idx")
    fail(Exit::kBadData, "[{}] field 'layout': expected images, cifar or idx, got '{}'", file, m.layout);
  m.folder = f.get<std::string>("folder");
  if (!m.folder.empty()) f.path("folder");
  m.split_rule = f.get<std::string>("split");
  m.split_drawn = f.get<bool>("split_drawn");
  m.seed = f.get<uint64_t>("seed");
  m.complete = f.get<bool>("complete");
  m.classes = f.get<std::vector<std::string>>("classes");
  m.domains = f.get<std::vector<std::string>>("domains");
  m.differences = f.get<std::vector<std::string>>("differences");
  m.notes = f.get<std::vector<std::string>>("notes");
  if (m.classes.empty() || static_cast<int64_t>(m.classes.size()) > kMaxClasses)
    fail(Exit::kBadData, "[{}] expected 1 to {} classes, got {}", file, kMaxClasses, m.classes.size());
  m.archives = f.list<ManifestFile>("archives", [](const Fields& a) {
    return ManifestFile{a.get<std::string>("file"), a.size("bytes"), a.sha256("sha256")};
  });
  m.files = f.list<ManifestFile>("files", [](const Fields& a) {
    return ManifestFile{a.path("file"), a.size("bytes"), a.sha256("sha256")};
  });
  m.skipped = f.list<SkippedFile>("skipped", [](const Fields& s) {
    return SkippedFile{s.get<std::string>("file"), s.get<std::string>("reason")};
  });
  m.sha256 = f.sha256("sha256");
  h.images = f.size("images");
  return h;
}

ManifestImage image_of(const std::string& line, const Manifest& m, const std::string& where) {
  const std::vector<std::string> fields = split_csv(line);
  if (fields.size() != 7) fail(Exit::kBadData, "[{}] expected 7 fields, got {}", where, fields.size());
  const auto number = [&](size_t k, const char* what, int64_t below) {
    const std::string& text = fields[k];
    int64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n < 0 || n >= below)
      fail(Exit::kBadData, "[{}] expected a {} in [0, {}), got '{}'", where, what, below, text);
    return n;
  };
  ManifestImage image;
  image.file = fields[0];
  const std::string fault = entry_path_fault(image.file);
  if (!fault.empty()) fail(Exit::kBadData, "[{}] the path '{}' {}", where, image.file, fault);
  if ((m.layout == "images") != fields[1].empty())
    fail(Exit::kBadData, "[{}] expected {} number of a record, got '{}'", where, m.layout == "images" ? "no" : "the",
         fields[1]);
  if (!fields[1].empty()) image.record = number(1, "record", int64_t{1} << 40);
  image.label = number(2, "class", static_cast<int64_t>(m.classes.size()));
  image.split = fields[3];
  if (!is_split(image.split))
    fail(Exit::kBadData, "[{}] expected the split train, validation, test or all, got '{}'", where, image.split);
  image.domain = fields[4];
  if (m.domains.empty() != image.domain.empty() ||
      (!m.domains.empty() && std::ranges::count(m.domains, image.domain) == 0))
    fail(Exit::kBadData, "[{}] expected a domain of the manifest, got '{}'", where, image.domain);
  image.bytes = number(5, "number of bytes", int64_t{1} << 40);
  image.sha256 = fields[6];
  if (!is_sha256(image.sha256)) fail(Exit::kBadData, "[{}] expected a SHA-256, got '{}'", where, image.sha256);
  return image;
}

}  // namespace

int64_t Manifest::count(const std::string& split) const {
  return std::ranges::count_if(images, [&](const ManifestImage& i) { return i.split == split || i.split == "all"; });
}

bool has_manifest(const fs::path& folder) { return fs::exists(folder / kHeader) && fs::exists(folder / kList); }

void write_manifest(const fs::path& folder, Manifest& manifest) {
  const std::string list = list_of(manifest);
  manifest.sha256 = sha256_of(list);
  std::string header;
  try {
    header = header_of(manifest).dump(1) + "\n";
  } catch (const nlohmann::json::exception& error) {
    fail(Exit::kBadData, "[{}] expected names of classes and domains in UTF-8, got: {}", (folder / kHeader).string(),
         error.what());
  }
  write_file_atomically((folder / kList).string(), list);
  write_file_atomically((folder / kHeader).string(), header);
}

Manifest read_manifest_header(const fs::path& folder) { return read_header(folder).manifest; }

Manifest read_manifest(const fs::path& folder) {
  Header header = read_header(folder);
  Manifest& m = header.manifest;
  const std::string file = (folder / kList).string();
  const std::vector<uint8_t> bytes = read_bytes(file, kMaxList);
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  if (const std::string found = hash.hex(); found != m.sha256)
    fail(Exit::kBadData, "[{}] expected the SHA-256 {}, as {} has it, got {}; hint: import the data again", file,
         m.sha256, kHeader, found);
  const std::vector<std::string> lines = lines_of(bytes);
  if (lines.empty() || lines[0] != kColumns) fail(Exit::kBadData, "[{}] expected the header {}", file, kColumns);
  for (size_t i = 1; i < lines.size(); ++i)
    m.images.push_back(image_of(lines[i], m, fmt::format("{} line {}", file, i + 1)));
  if (static_cast<int64_t>(m.images.size()) != header.images)
    fail(Exit::kBadData, "[{}] expected {} images, as {} has it, got {}", file, header.images, kHeader,
         m.images.size());
  return std::move(m);
}

bool split_was_drawn(const std::string& path) { return has_manifest(path) && read_header(path).manifest.split_drawn; }

std::string imported_list_sha256(const std::string& path) {
  return has_manifest(path) ? read_header(path).manifest.sha256 : std::string{};
}

}  // namespace taut
