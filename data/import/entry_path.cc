#include "data/import/entry_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace taut {
namespace {

constexpr size_t kMaxName = 255, kMaxPath = 1024;

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<uint8_t>(text[i]);
    const size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c < 0xF5 ? 3 : 9;
    if (more == 9 || (c >= 0x80 && c < 0xC2) || i + more >= text.size()) return false;
    for (size_t k = 1; k <= more; ++k)
      if ((static_cast<uint8_t>(text[i + k]) & 0xC0) != 0x80) return false;
    const auto second = more > 0 ? static_cast<uint8_t>(text[i + 1]) : 0;
    // Overlong forms, surrogates, and what lies beyond Unicode.
    if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) || (c == 0xF0 && second < 0x90) ||
        (c == 0xF4 && second > 0x8F))
      return false;
    i += more + 1;
  }
  return true;
}

}  // namespace

std::string entry_path_fault(std::string_view path) {
  if (path.empty()) return "is empty";
  if (path.front() == '/') return "is absolute";
  if (path.size() > kMaxPath) return fmt::format("is longer than {} bytes", kMaxPath);
  if (!is_utf8(path)) return "is not UTF-8";
  for (const char c : path) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) return "holds a control character";
    if (c == '\\') return "holds a backslash";
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part == "..") return "leaves the folder";
    if (part.empty() || part == ".") return "has an empty component";
    if (part.size() > kMaxName) return fmt::format("has a component of more than {} bytes", kMaxName);
    begin = end + 1;
  }
  return {};
}

std::string normalised_entry_path(std::string_view path) {
  std::string clean;
  if (path.starts_with('/')) clean = "/";
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (!clean.empty() && !clean.ends_with('/')) clean += '/';
    clean += part;
  }
  return clean;
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return lower;
}

std::string EntryNames::add(const std::string& path, bool is_folder) {
  if (is_folder) return add_folders(path);
  if (std::string fault = add_folders(folder_of(path)); !fault.empty()) return fault;
  if (folders_.contains(path)) return "is a file and a folder";
  if (!files_.insert(path).second) return "comes twice";
  const auto [it, is_new] = by_lower_case_.emplace(lower_case(path), path);
  return is_new ? std::string{} : fmt::format("differs from '{}' in case only", it->second);
}

std::string EntryNames::add_folders(std::string_view path) {
  if (path.empty() || folders_.contains(std::string(path))) return {};
  if (std::string fault = add_folders(folder_of(path)); !fault.empty()) return fault;
  const std::string name(path);
  if (files_.contains(name)) return "is a file and a folder";
  folders_.insert(name);
  const auto [it, is_new] = by_lower_case_.emplace(lower_case(name), name);
  return is_new ? std::string{} : fmt::format("is in a folder that differs from '{}' in case only", it->second);
}

}  // namespace taut
