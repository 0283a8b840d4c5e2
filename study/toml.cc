#include "study/toml.h"

#include <toml++/toml.h>

#include "kernels/error.h"
#include "study/untrusted.h"

namespace taut::study {
namespace {

std::string place(const std::string& name, const toml::node& node) {
  return fmt::format("{}:{}:{}", name, node.source().begin.line, node.source().begin.column);
}

[[noreturn]] void refuse(const std::string& name, const toml::node& node, const std::string& why) {
  fail(Exit::kUsage, "[{}] {}", place(name, node), why);
}

std::string scalar(const toml::node& node, const std::string& name) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* i = node.as_integer()) return std::to_string(i->get());
  if (const auto* f = node.as_floating_point()) return fmt::format("{}", f->get());
  if (const auto* b = node.as_boolean()) return b->get() ? "true" : "false";
  refuse(name, node, "expected text, a number, true or false, or a list of them");
}

bool holds_tables(const toml::array& array) { return !array.empty() && array.get(0)->is_table(); }

std::string joined(const std::vector<std::string>& items) { return fmt::format("{}", fmt::join(items, ", ")); }

constexpr const char* kNoComma = "expected list items without commas";

TomlList list_of(const toml::array& array, const std::string& name, TomlItems allowed) {
  TomlList list{.items = {}, .where = place(name, array)};
  for (const toml::node& item : array) {
    const auto* inner = allowed == TomlItems::kAny ? item.as_array() : nullptr;
    const std::string text =
        inner != nullptr ? joined(list_of(*inner, name, TomlItems::kPlain).items) : scalar(item, name);
    if (inner != nullptr || text.find(',') != std::string::npos) list.plain = false;
    if (!list.plain && allowed == TomlItems::kPlain) refuse(name, item, kNoComma);
    list.items.push_back(text);
  }
  return list;
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& name, TomlItems allowed,
             TomlTable& out) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, path + ".", name, allowed, out);
    } else if (const auto* array = node.as_array(); array != nullptr && holds_tables(*array)) {
      for (const toml::node& item : *array) {
        if (!item.is_table()) refuse(name, item, "expected a table, as the list's first item is one");
        TomlTable& added = out.tables[path].emplace_back();
        flatten(*item.as_table(), "", name, allowed, added);
      }
    } else if (array != nullptr) {
      TomlList list = list_of(*array, name, allowed);
      if (list.plain) out.values[path] = joined(list.items);
      if (allowed == TomlItems::kAny) out.lists[path] = std::move(list);
    } else {
      out.values[path] = scalar(node, name);
    }
  }
}

}  // namespace

TomlTable parse_toml(const std::string& text, const std::string& name, TomlItems items) {
  TAUT_CHECK(text.size() <= kMostTomlBytes, "[{}] expected at most {} bytes, got {}", name, kMostTomlBytes,
             text.size());
  check_toml_keys(text, name);
  TomlTable out;
  try {
    const toml::table table = toml::parse(text, name);
    flatten(table, "", name, items, out);
  } catch (const toml::parse_error& error) {
    fail(Exit::kUsage, "[{}:{}:{}] {}", name, error.source().begin.line, error.source().begin.column,
         error.description());
  }
  return out;
}

void check_plain(const TomlList& list) { TAUT_CHECK(list.plain, "[{}] {}", list.where, kNoComma); }

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      out += c;
  }
  return out + "\"";
}

}  // namespace taut::study
