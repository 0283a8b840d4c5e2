// Names of files inside an archive: which are refused, and how they are written.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace taut {

// Why a relative path must not be used ("leaves the folder", ...), "" where it may. Components are separated by one
// '/', none is "", "." or "..", and all of it is UTF-8 without control characters or backslashes, as long as file
// systems allow.
std::string entry_path_fault(std::string_view path);

// "./a//b/" as "a/b"; faults are left in it for entry_path_fault to find. "" for the top itself.
std::string normalised_entry_path(std::string_view path);

// The file's own name, without its folders.
std::string_view base_name(std::string_view path);
// The folders above it, "" where there are none.
std::string_view folder_of(std::string_view path);
// In lower case, of ASCII letters.
std::string lower_case(std::string_view text);

// The names of one import, so that none is used twice: not even in another case, which many file systems take for the
// same, and not for a file and a folder.
class EntryNames {
 public:
  // Why a name cannot be added, "" where it was. Folders may come again.
  std::string add(const std::string& path, bool is_folder);
  bool contains_file(const std::string& path) const { return files_.contains(path); }

 private:
  std::string add_folders(std::string_view path);

  std::unordered_set<std::string> files_, folders_;
  std::unordered_map<std::string, std::string> by_lower_case_;
};

}  // namespace taut
