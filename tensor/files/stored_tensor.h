// One tensor of a file: what the file says of it, and where its elements lie.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tensor/files/file_bytes.h"
#include "tensor/shape.h"

namespace taut {

// The dtype is spelled as in safetensors, whatever the file's format: "F32", "F16", "BF16", "F64", "I64", "I32", "I16",
// "I8", "U8", "BOOL", "F8_E4M3", ...
struct StoredTensor {
  std::string name, dtype;
  Shape shape;
  int64_t bytes = 0;  // of all its elements, packed row-major
  Shape strides =
      {};  // in elements, of the elements at `first`; an element of any dtype with strides takes whole bytes
  const std::byte* first = nullptr;  // its first element, inside the file's mapping
  // Instead of `first` where the file holds them compressed: starts anew, and what it returns gives the next bytes,
  // packed row-major.
  std::function<std::function<void(std::span<std::byte> to)>()> unpack = {};
};

// What a reader makes of a file. The tensors point into the mappings, so keep the files as long as them.
struct FileContents {
  FileBytes file;
  // "safetensors", "torch zip", "torch legacy", "npy", "npz"; of an index by its files': "safetensors index", ...
  std::string format;
  std::vector<StoredTensor> tensors;            // in the file's order
  std::map<std::string, std::string> metadata;  // texts and numbers the file holds beside tensors
  std::vector<FileBytes> shards = {};           // further files the tensors lie in
};

// Bits of an element; 0 for a dtype that no format of ours has.
int64_t bits_of(const std::string& dtype);
// Bits of all elements of a shape, or -1 where strides or bits would not fit 63 bits; sizes of 0 count as 1 for that,
// so that an empty tensor of an absurd shape is refused like any other. Sizes are not negative.
int64_t bits_of(const std::string& dtype, const Shape& shape);
// Writes the `t.bytes` bytes of its elements, packed row-major, to `to`. Throws Error(kBadData) if compressed data is
// damaged.
void copy_elements(const StoredTensor& t, std::byte* to);

constexpr size_t kMaxFileDims = 16;            // of a tensor of any format
constexpr size_t kMaxFileTensors = 1'000'000;  // in one file
constexpr size_t kMaxTensorName = 4096;        // bytes

}  // namespace taut
