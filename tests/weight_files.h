// Files of weights that tests write under other libraries' names, and what is in them.
#pragma once

#include <filesystem>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "nn/vit.h"
#include "nn/weights.h"
#include "tensor/weights_file.h"

namespace taut::testing {

using Tensors = std::vector<std::pair<std::string, Tensor>>;

inline std::string temp(const std::string& name) { return (std::filesystem::temp_directory_path() / name).string(); }

inline Tensors tensors_of(const nn::Vit& vit, nn::NameStyle style) {
  Tensors tensors;
  for (const nn::NameEntry& e : nn::name_map(vit.config(), style))
    tensors.emplace_back(e.external, nn::file_of_rows(e, vit.parameter(e.path).value()));
  return tensors;
}

inline void rename(Tensors& tensors, const char* from, const char* to) {
  for (auto& [name, t] : tensors) name = std::regex_replace(name, std::regex(from), to);
}

// Every tensor with its type, shape and bytes.
inline std::map<std::string, std::string> contents(const std::string& path) {
  const WeightsFile file = WeightsFile::open(path);
  std::map<std::string, std::string> all;
  for (const StoredTensor& t : file.tensors()) {
    std::string bytes(static_cast<size_t>(t.bytes), '\0');
    copy_elements(t, reinterpret_cast<std::byte*>(bytes.data()));
    all[t.name] = t.dtype + to_string(t.shape) + bytes;
  }
  return all;
}

}  // namespace taut::testing
