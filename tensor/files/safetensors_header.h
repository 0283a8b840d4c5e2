// The safetensors format: u64 little-endian N, N bytes of a JSON header, the tensors' bytes.
//
// Every rule of the format's reference reader is checked, and more: no name and no field twice, no unknown fields, no
// other numbers than plain unsigned integers, limits on the number of tensors, of dimensions and on names. The data has
// neither holes nor overlaps and ends with the file.
#pragma once

#include "tensor/files/stored_tensor.h"

namespace taut {

// Throws Error(kBadData) naming file and tensor where the file breaks a rule.
FileContents parse_safetensors(FileBytes file);
// Whether a file begins like one: a length a header may have, then a brace. (The file may still be cut off.)
bool looks_like_safetensors(const FileBytes& file);

}  // namespace taut
