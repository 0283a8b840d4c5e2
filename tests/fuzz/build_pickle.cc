#include "tests/fuzz/build_pickle.h"

namespace taut::fuzz::pickle {
namespace {

std::string joined(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& p : pieces) all += p;
  return all;
}

std::string integers(const std::vector<int32_t>& values) {
  std::vector<std::string> pieces;
  for (const int32_t v : values) pieces.push_back(integer(v));
  return tuple(pieces);
}

std::string items_of(const Pairs& items) {
  std::string all = "(";
  for (const auto& [key, value] : items) all += key + value;
  return items.empty() ? "" : all + "u";
}

std::string legacy_head() {
  return file("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + file("M\xe9\x03") +
         file(dict({{text("protocol_version"), integer(1001)},
                    {text("little_endian"), "\x88"},
                    {text("type_sizes"),
                     dict({{text("short"), integer(2)}, {text("int"), integer(4)}, {text("long"), integer(4)}})}}));
}

}  // namespace

std::string file(const std::string& value, int protocol) {
  return std::string{'\x80', static_cast<char>(protocol)} + value + ".";
}
std::string text(const std::string& value) { return "X" + le(static_cast<uint32_t>(value.size())) + value; }
std::string integer(int32_t value) { return "J" + le(value); }
std::string global(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }
std::string tuple(const std::vector<std::string>& values) { return "(" + joined(values) + "t"; }
std::string list(const std::vector<std::string>& values) { return "](" + joined(values) + "e"; }
std::string dict(const Pairs& items) { return "}" + items_of(items); }
std::string ordered_dict(const Pairs& items) { return global("collections", "OrderedDict") + ")R" + items_of(items); }
std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}

std::string storage(const TensorSpec& s) {
  return tuple({text("storage"), global("torch", s.cls), text(s.key), text("cpu"), integer(s.numel)}) + "Q";
}
std::string tensor(const TensorSpec& s) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage(s), integer(s.offset), integers(s.shape), integers(s.strides), "\x89", ordered_dict({})});
}
std::string state_dict(const TensorSpec& spec) { return ordered_dict({{text("w"), tensor(spec)}}); }

std::vector<ZipItem> zip_items(const std::string& pickle, const Storages& storages) {
  std::vector<ZipItem> items{{.name = "archive/data.pkl", .data = pickle, .sizes_follow = true}};
  items.push_back({.name = "archive/byteorder", .data = "little"});
  for (const auto& [key, bytes] : storages) items.push_back({.name = "archive/data/" + key, .data = bytes});
  items.push_back({.name = "archive/version", .data = "3\n"});
  return items;
}

size_t legacy_start() { return legacy_head().size(); }

std::string legacy(const std::string& pickle, const Storages& storages) {
  std::vector<std::string> keys;
  std::string data;
  for (const auto& [key, bytes] : storages) {
    keys.push_back(text(key));
    data += le(static_cast<int64_t>(bytes.size() / 4)) + bytes;
  }
  return legacy_head() + pickle + file(list(keys)) + data;
}

}  // namespace taut::fuzz::pickle
