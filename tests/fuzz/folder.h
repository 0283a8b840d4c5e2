// Inputs of readers that take more than one file: the files one behind the other, in a form that mutations of a fuzzer
// keep readable.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace taut::fuzz {

struct FilePart {
  std::string name, bytes;
};

// "== NAME\n", the bytes, "\n== NAME\n", the bytes, ...; what precedes the first such line is dropped.
std::vector<FilePart> split_files(std::string_view input);
std::string join_files(const std::vector<FilePart>& files);

// A file of weights: the given bytes, or, where they begin with the line "tensors", the safetensors file of what the
// further lines name ("NAME DTYPE 2,3", "NAME DTYPE" for a scalar; "@KEY TEXT" for metadata); of more than a mebibyte
// the header alone.
std::string weights_of(std::string_view text);

// A folder of this process that goes when it ends.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }
  // Makes `files` all that is in it. Names outside it are left out.
  void fill(const std::vector<FilePart>& files) const;

 private:
  std::filesystem::path path_;
};

}  // namespace taut::fuzz
