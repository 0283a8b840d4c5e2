// An opened file of named tensors, whatever its format. Copies share its mapping into memory.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tensor/files/stored_tensor.h"
#include "tensor/tensor.h"

namespace taut {

// Whether TensorFile::read takes tensors of this type, spelled as in StoredTensor.
bool is_readable(const std::string& dtype);

class TensorFile {
 public:
  const std::string& path() const { return contents_.file.path(); }
  const std::string& format() const { return contents_.format; }                  // see FileContents
  const std::vector<StoredTensor>& tensors() const { return contents_.tensors; }  // in the file's order
  std::vector<std::string> names() const;
  const std::map<std::string, std::string>& metadata() const { return contents_.metadata; }

  // SHA-256 of the file's bytes, or of an index's bytes and its files' one after the other.
  std::string sha256() const;

  bool contains(const std::string& name) const { return index_.contains(name); }
  // Throws Error(kBadData) naming file and tensor if it is not in the file.
  const StoredTensor& info(const std::string& name) const;
  // A contiguous copy of the tensor. F32, F64, BF16, I32, I64, U8 and BOOL keep their type; F16 becomes f32, I8, I16
  // and U16 become i32, U32 becomes i64; any other is an Error(kBadData), as is a BOOL other than 0 and 1.
  Tensor read(const std::string& name) const;
  // The same as consecutive pieces of one dimension, row-major, so that a tensor a small file inflates to need not fit
  // into memory. A tensor that lies in the file with gaps is one piece.
  void read_pieces(const std::string& name, const std::function<void(const Tensor& piece)>& take) const;

 protected:
  // Throws Error(kBadData) if two tensors have one name.
  explicit TensorFile(FileContents contents);

 private:
  Tensor to_tensor(const StoredTensor& stored, int64_t first_element) const;

  FileContents contents_;
  std::map<std::string, size_t> index_;
};

}  // namespace taut
