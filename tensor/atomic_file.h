// Whole files, written so that a reader or a crash sees either the old file or the new one, never a part.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace taut {

// Writes `parts` one after the other to `path`.tmp, syncs it, renames it to `path` and syncs the folder. The folder
// must exist. Throws Error(kIo) naming the path; the temporary file is removed then.
void write_file_atomically(const std::string& path, const std::vector<std::span<const std::byte>>& parts);

inline void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(path, {std::as_bytes(std::span(text.data(), text.size()))});
}

}  // namespace taut
