// The readers behind open_dataset, and what they share. `split` is "train", "validation", "test" or "all".
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/manifest.h"

namespace taut {

bool is_cifar10(const std::filesystem::path& folder);
bool is_cifar100(const std::filesystem::path& folder);
DatasetPtr open_cifar(const std::filesystem::path& folder, const std::string& split);

bool is_idx(const std::filesystem::path& folder);
DatasetPtr open_idx(const std::filesystem::path& folder, const std::string& split, int64_t classes);

bool is_stl10(const std::filesystem::path& folder);
DatasetPtr open_stl10(const std::filesystem::path& folder, const std::string& split);

// Rows of `options.split` and `options.domain`, where the list has such columns.
DatasetPtr open_csv(const std::filesystem::path& folder, const std::filesystem::path& csv,
                    const DatasetOptions& options);
// `options.split` and `options.domain` are used here.
DatasetPtr open_class_folders(const std::filesystem::path& folder, const DatasetOptions& options);

// Which of n images of a class are for testing where the data come without a split: a fifth, drawn by the seed, at
// least one if there are two.
std::vector<int64_t> drawn_for_testing(int64_t n, uint64_t seed, int64_t label);

// The folders of ROOT/DOMAIN/CLASS, sorted; empty for any other layout.
std::vector<std::string> folder_domains(const std::filesystem::path& folder);

// What `taut data import` made of `folder`. `options.split` and `options.domain` are used here.
DatasetPtr open_imported(const std::filesystem::path& folder, Manifest manifest, const DatasetOptions& options);

// The lines of a text file without their ends (LF or CRLF). Throws Error(kMissing) or Error(kIo).
std::vector<std::string> read_lines(const std::filesystem::path& file);
std::vector<std::string> lines_of(std::span<const uint8_t> bytes);
// A whole file, at most `limit` bytes. Throws Error(kMissing), Error(kIo) or Error(kBadData).
std::vector<uint8_t> read_bytes(const std::filesystem::path& file, int64_t limit);

// Absolute path, size and times of last change of a file, for Dataset::identity; empty where it cannot be asked.
std::string file_identity(const std::filesystem::path& file);

// The folder's own name, also for "a/b/".
std::string folder_name(const std::filesystem::path& folder);

}  // namespace taut
