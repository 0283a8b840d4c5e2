#include "study/toml.h"

#include <toml++/toml.h>

#include "kernels/error.h"

namespace taut::study {
namespace {

[[noreturn]] void refuse(const std::string& name, const toml::node& node, const std::string& why) {
  fail(Exit::kUsage, "[{}:{}:{}] {}", name, node.source().begin.line, node.source().begin.column, why);
}

std::string scalar(const toml::node& node, const std::string& name) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* i = node.as_integer()) return std::to_string(i->get());
  if (const auto* f = node.as_floating_point()) return fmt::format("{}", f->get());
  if (const auto* b = node.as_boolean()) return b->get() ? "true" : "false";
  refuse(name, node, "expected text, a number, true or false, or a list of them");
}

bool holds_tables(const toml::array& array) { return !array.empty() && array.get(0)->is_table(); }

void flatten(const toml::table& table, const std::string& prefix, const std::string& name, TomlTable& out) {
  for (const auto& [key, node] : table) {
    const std::string path = prefix + std::string(key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, path + ".", name, out);
    } else if (const auto* array = node.as_array(); array != nullptr && holds_tables(*array)) {
      for (const toml::node& item : *array) {
        if (!item.is_table()) refuse(name, item, "expected a table, as the list's first item is one");
        TomlTable& added = out.tables[path].emplace_back();
        flatten(*item.as_table(), "", name, added);
      }
    } else if (array != nullptr) {
      std::string list;
      for (const toml::node& item : *array) {
        const std::string value = scalar(item, name);
        if (value.find(',') != std::string::npos) refuse(name, item, "expected list items without commas");
        list += (list.empty() ? "" : ", ") + value;
      }
      out.values[path] = list;
    } else {
      out.values[path] = scalar(node, name);
    }
  }
}

}  // namespace

TomlTable parse_toml(const std::string& text, const std::string& name) {
  TomlTable out;
  try {
    const toml::table table = toml::parse(text, name);
    flatten(table, "", name, out);
  } catch (const toml::parse_error& error) {
    fail(Exit::kUsage, "[{}:{}:{}] {}", name, error.source().begin.line, error.source().begin.column,
         error.description());
  }
  return out;
}

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
