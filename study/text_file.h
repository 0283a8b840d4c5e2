// Small text files: whole contents in, and the paths of a folder.
#pragma once

#include <string>
#include <vector>

namespace taut::study {

// Throws Error(kMissing) where there is no such file, Error(kIo) where it cannot be read.
std::string read_text_file(const std::string& path);
// The lines without their ends; a last line without an end counts.
std::vector<std::string> lines_of(const std::string& text);

// Creates a folder and those above it. Throws Error(kIo) naming it.
void make_folder(const std::string& path);
// Syncs a folder's entries to disk. Throws Error(kIo).
void sync_folder(const std::string& path);

}  // namespace taut::study
