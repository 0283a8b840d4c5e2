// What torch.save writes: a zip archive (torch 1.6 and later) or the older stream of pickles.
//
//   zip     ROOT/data.pkl, a pickle, and ROOT/data/KEY, the bytes of storage KEY; all stored, never compressed
//   legacy  pickles of a magic number, 1001, facts of the system, the object and the list of storage keys; then for
//   each
//           key in that order i64 number of elements and the bytes; then the end of the file
//
// The object must be a dict of tensors, or hold one under the names people use (state_dict, model_state_dict, model,
// net, params), at up to three levels of such names; or be one tensor. Texts and numbers found on the way become
// metadata. Strided views are read as what they show; tensors may share a storage.
#pragma once

#include "tensor/files/stored_tensor.h"
#include "tensor/files/zip_archive.h"

namespace taut {

// Throws Error(kBadData) with the file and the zip entry, opcode or storage at fault.
FileContents parse_torch_zip(const ZipArchive& zip);
FileContents parse_torch_legacy(FileBytes file);

// Whether an archive is torch's: it has an entry ROOT/data.pkl.
bool looks_like_torch_zip(const ZipArchive& zip);
// Whether a file begins like the pickle of the legacy magic number: with an integer of ten bytes.
bool looks_like_torch_legacy(const FileBytes& file);

}  // namespace taut
