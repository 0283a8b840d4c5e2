#include "tensor/files/torch_file.h"

#include <algorithm>
#include <bit>
#include <set>

#include "kernels/error.h"
#include "tensor/files/pickle.h"

namespace taut {
namespace {

using Kind = Pickle::Kind;
using Value = Pickle::Value;

// 0x1950a86a20f9469cfc6c as a pickle.
constexpr std::string_view kMagic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15};
constexpr int64_t kLegacyVersion = 1001;
constexpr int kMaxWrappers = 3;  // one inside the other
constexpr std::string_view kWrappers[] = {"state_dict", "model_state_dict", "model", "net", "params"};
// Views of one storage may show an element more than once in the file's tensors together, but not so often that a small
// file means much memory.
constexpr int64_t kMaxSharing = 16;

// The value of a dict under a key of text, or nullptr.
const Value* entry(const Pickle& pickle, const Value& dict, std::string_view key) {
  for (size_t i = 0; i < dict.items.size(); i += 2)
    if (const Value& k = pickle[dict.items[i]]; k.kind == Kind::kText && k.text == key)
      return &pickle[dict.items[i + 1]];
  return nullptr;
}

bool holds_tensors(const Pickle& pickle, const Value& value) {
  if (value.kind != Kind::kDict) return false;
  for (size_t i = 1; i < value.items.size(); i += 2)
    if (pickle[value.items[i]].kind == Kind::kTensor) return true;
  return false;
}

// Whether a dict holds tensors itself or under wrappers' names.
bool leads_to_tensors(const Pickle& pickle, const Value& value, int levels) {
  if (holds_tensors(pickle, value)) return true;
  if (levels == 0 || value.kind != Kind::kDict) return false;
  return std::any_of(std::begin(kWrappers), std::end(kWrappers), [&](std::string_view wrapper) {
    const Value* inner = entry(pickle, value, wrapper);
    return inner != nullptr && leads_to_tensors(pickle, *inner, levels - 1);
  });
}

// "epoch (an integer), args (a dict of 3), ...": what a user needs to see when no state dict was found.
std::string listing(const Pickle& pickle, const Value& dict) {
  constexpr size_t kShown = 12;
  std::string text;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    if (i / 2 == kShown) return text + fmt::format(" and {} more", dict.items.size() / 2 - kShown);
    const Value& key = pickle[dict.items[i]];
    text += fmt::format("{}{} ({})", i ? ", " : "", key.kind == Kind::kText ? printable(key.text, 40) : describe(key),
                        describe(pickle[dict.items[i + 1]]));
  }
  return text.empty() ? "nothing" : text;
}

void note(std::map<std::string, std::string>& metadata, const std::string& key, const Value& value) {
  switch (value.kind) {
    case Kind::kBool: metadata[key] = value.integer ? "true" : "false"; return;
    case Kind::kInt: metadata[key] = std::to_string(value.integer); return;
    case Kind::kFloat: metadata[key] = fmt::format("{}", std::bit_cast<double>(value.integer)); return;
    case Kind::kText: metadata[key] = value.text; return;
    default: return;
  }
}

// Notes the texts and numbers of a dict; no key of text may appear twice.
void note_all(const Pickle& pickle, const Value& dict, const std::string& path,
              std::map<std::string, std::string>& metadata) {
  std::set<std::string_view> keys;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const Value& key = pickle[dict.items[i]];
    if (key.kind != Kind::kText) continue;
    if (!keys.insert(key.text).second)
      fail(Exit::kBadData, "[{}] tensor or entry '{}': its name appears twice", path, printable(key.text));
    note(metadata, std::string(key.text), pickle[dict.items[i + 1]]);
  }
}

// The dict of tensors: what lies under a wrapper's name, else `root` itself. (Training scripts put single tensors, like
// the best accuracy, beside a wrapped state dict.)
const Value& state_dict(const Pickle& pickle, const std::string& path, std::map<std::string, std::string>& metadata) {
  const Value* dict = &pickle.root();
  std::string where;
  for (int levels = kMaxWrappers; dict->kind == Kind::kDict; --levels) {
    note_all(pickle, *dict, path, metadata);
    const Value* inner = nullptr;
    std::string_view name;
    for (const std::string_view wrapper : kWrappers) {
      const Value* candidate = levels > 0 ? entry(pickle, *dict, wrapper) : nullptr;
      if (candidate == nullptr || !leads_to_tensors(pickle, *candidate, levels - 1)) continue;
      if (inner != nullptr)
        fail(Exit::kBadData,
             "[{}] expected one dict of weights, '{}' and '{}' both look like it; hint: save one of them alone", path,
             name, wrapper);
      inner = candidate;
      name = wrapper;
    }
    if (inner == nullptr) break;
    where += fmt::format("{}'{}'", where.empty() ? " in " : ", ", name);
    dict = inner;
  }
  if (!holds_tensors(pickle, *dict))
    fail(Exit::kBadData,
         "[{}] expected a dict of tensors, or one under state_dict, model_state_dict, model, net or params, got {}; "
         "hint: "
         "save model.state_dict()",
         path, dict->kind == Kind::kDict ? "a dict with " + listing(pickle, *dict) : describe(*dict));
  return *dict;
}

// Where the bytes of each storage of a pickle are.
using Storages = std::vector<const std::byte*>;

void add_tensor(FileContents& contents, const Pickle& pickle, const Storages& storages, std::string name,
                const Value& value) {
  const PickledTensor& t = pickle.tensors()[static_cast<size_t>(value.integer)];
  const int64_t element = bits_of(t.dtype) / 8;
  StoredTensor out{.name = std::move(name), .dtype = t.dtype, .shape = t.shape, .strides = t.strides};
  out.bytes = bits_of(t.dtype, t.shape) / 8;
  if (out.bytes > 0) out.first = storages[t.storage] + t.offset * element;
  contents.tensors.push_back(std::move(out));
}

FileContents contents_of(FileBytes file, const char* format, const Pickle& pickle, const Storages& storages) {
  FileContents contents{std::move(file), format, {}, {}};
  const std::string& path = contents.file.path();
  if (pickle.root().kind == Kind::kTensor) {
    add_tensor(contents, pickle, storages, stem(contents.file), pickle.root());
    return contents;
  }
  const Value& dict = state_dict(pickle, path, contents.metadata);
  int64_t bytes = 0;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const Value &key = pickle[dict.items[i]], &value = pickle[dict.items[i + 1]];
    if (key.kind != Kind::kText)
      fail(Exit::kBadData, "[{}] expected names of tensors, got {} as a key", path, describe(key));
    const auto bad = [&](const std::string& what) {
      fail(Exit::kBadData, "[{}] tensor '{}': {}", path, printable(key.text), what);
    };
    if (key.text.size() > kMaxTensorName) bad(fmt::format("its name is longer than {} bytes", kMaxTensorName));
    if (holds_tensors(pickle, value) || value.kind == Kind::kList || value.kind == Kind::kTuple)
      bad(fmt::format("expected a tensor, got {} beside tensors; hint: save model.state_dict() alone",
                      describe(value)));
    if (value.kind != Kind::kTensor) continue;
    add_tensor(contents, pickle, storages, std::string(key.text), value);
    if (__builtin_add_overflow(bytes, contents.tensors.back().bytes, &bytes) ||
        bytes / kMaxSharing > static_cast<int64_t>(contents.file.size()))
      bad(fmt::format("with it the tensors take more than {} times the file: too many share their storage",
                      kMaxSharing));
  }
  return contents;
}

bool is_pickle(const ZipEntry& e) {
  const size_t slash = e.name.find('/');
  return slash != std::string::npos && std::string_view(e.name).substr(slash) == "/data.pkl";
}

int64_t bytes_of(const PickledStorage& s) { return bits_of(s.dtype, {s.numel}) / 8; }

}  // namespace

bool looks_like_torch_legacy(const FileBytes& file) { return file.starts_with(kMagic.substr(0, 4)); }

bool looks_like_torch_zip(const ZipArchive& zip) {
  return std::any_of(zip.entries().begin(), zip.entries().end(), [](const ZipEntry& e) { return is_pickle(e); });
}

FileContents parse_torch_zip(const ZipArchive& zip) {
  const FileBytes& file = zip.file();
  const std::string& path = file.path();
  std::string root;
  for (const ZipEntry& e : zip.entries()) {
    if (e.name.ends_with("/constants.pkl"))
      fail(Exit::kBadData, "[{}] expected weights, got a TorchScript program; hint: save model.state_dict()", path);
    if (e.deflated)
      fail(Exit::kBadData, "[{}] zip entry '{}': expected it stored as torch.save does, it is compressed", path,
           printable(e.name));
    if (!is_pickle(e)) continue;
    if (!root.empty())
      fail(Exit::kBadData, "[{}] expected one pickle, got zip entries '{}data.pkl' and '{}'", path, printable(root),
           printable(e.name));
    root = e.name.substr(0, e.name.find('/') + 1);
  }
  if (root.empty()) fail(Exit::kBadData, "[{}] expected an archive of torch.save, with an entry ROOT/data.pkl", path);
  if (const ZipEntry* order = zip.find(root + "byteorder"); order != nullptr && zip.stored(*order) != "little")
    fail(Exit::kBadData, "[{}] zip entry '{}byteorder': expected little, got {}", path, root,
         printable(zip.stored(*order), 20));
  const std::string_view text = zip.stored(*zip.find(root + "data.pkl"));
  const Pickle pickle(text, fmt::format("[{}] {}data.pkl", path, printable(root)), 0);
  if (pickle.length() != text.size())
    fail(Exit::kBadData, "[{}] {}data.pkl: {} bytes follow the pickle's end at byte {}", path, root,
         text.size() - pickle.length(), pickle.length());
  Storages storages;
  for (const PickledStorage& s : pickle.storages()) {
    const std::string name = root + "data/" + s.key;
    const ZipEntry* e = zip.find(name);
    if (e == nullptr) fail(Exit::kBadData, "[{}] the zip entry '{}' is missing", path, printable(name));
    if (e->size != static_cast<uint64_t>(bytes_of(s)))
      fail(Exit::kBadData, "[{}] zip entry '{}': expected {} bytes ({} of {}), got {}", path, printable(name),
           bytes_of(s), s.numel, s.dtype, e->size);
    storages.push_back(file.data() + e->begin);
  }
  return contents_of(file, "torch zip", pickle, storages);
}

FileContents parse_torch_legacy(FileBytes file) {
  const std::string path = file.path();
  if (!file.starts_with(kMagic)) fail(Exit::kBadData, "[{}] expected the magic number of torch's old format", path);
  uint64_t at = kMagic.size();
  const auto next = [&](const char* what) {
    Pickle pickle(file.text(at, file.size() - at), fmt::format("[{}] pickle of {}", path, what), at);
    at += pickle.length();
    return pickle;
  };
  const Pickle version = next("the version");
  if (version.root().kind != Kind::kInt || version.root().integer != kLegacyVersion)
    fail(Exit::kBadData, "[{}] expected version {} of torch's old format", path, kLegacyVersion);
  const Pickle system = next("the system");
  const Value* little = system.root().kind == Kind::kDict ? entry(system, system.root(), "little_endian") : nullptr;
  if (little == nullptr || little->kind != Kind::kBool || !little->integer)
    fail(Exit::kBadData, "[{}] expected a file written on a little-endian machine", path);
  const Pickle object = next("the object");
  const Pickle keys = next("the storage keys");
  if (keys.root().kind != Kind::kList || keys.root().items.size() != object.storages().size())
    fail(Exit::kBadData, "[{}] expected a list of {} storage keys, got {}", path, object.storages().size(),
         describe(keys.root()));
  std::map<std::string_view, size_t> index;
  for (size_t i = 0; i < object.storages().size(); ++i) index[object.storages()[i].key] = i;
  Storages storages(object.storages().size());
  for (const Pickle::Ref r : keys.root().items) {
    const Value& key = keys[r];
    if (key.kind != Kind::kText)
      fail(Exit::kBadData, "[{}] expected texts in the list of storage keys, got {}", path, describe(key));
    const auto it = index.find(key.text);
    if (it == index.end())
      fail(Exit::kBadData, "[{}] the list of storage keys holds '{}' twice, or no tensor uses it", path,
           printable(key.text));
    const PickledStorage& s = object.storages()[it->second];
    if (file.size() - at < 8)
      fail(Exit::kBadData, "[{}] storage '{}': the file is cut off at byte {}", path, printable(s.key), at);
    const int64_t numel = load<int64_t>(file.data() + at);
    if (numel != s.numel)
      fail(Exit::kBadData, "[{}] storage '{}' at byte {}: expected {} elements, got {}", path, printable(s.key), at,
           s.numel, numel);
    at += 8;
    const auto bytes = static_cast<uint64_t>(bytes_of(s));
    if (bytes > file.size() - at)
      fail(Exit::kBadData, "[{}] storage '{}' at byte {}: expected {} bytes, {} are left; hint: the file is cut off",
           path, printable(s.key), at, bytes, file.size() - at);
    storages[it->second] = file.data() + at;
    at += bytes;
    index.erase(it);
  }
  if (at != file.size())
    fail(Exit::kBadData, "[{}] expected the end of the file at byte {}, {} more bytes follow", path, at,
         file.size() - at);
  return contents_of(std::move(file), "torch legacy", object, storages);
}

}  // namespace taut
