// Arrays of NumPy: .npy (one, format versions 1 to 3) and .npz (a zip archive of them, stored or deflated).
//
//   "\x93NUMPY", version, u16 or u32 length of the header, the header, the elements in C order to the end of the file
//   header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4)}, padded with spaces, ended by a line feed
//
// Taken: '<f4' '<f2' '<f8' '<i8' '<i4' '|u1', and '|V2' as BF16 where the caller says so. Refused, by name: object and
// structured arrays, other byte orders, Fortran order, anything in the header that is not one of its three entries.
#pragma once

#include "tensor/files/stored_tensor.h"
#include "tensor/files/zip_archive.h"

namespace taut {

struct NpyOptions {
  // NumPy has no bfloat16 and writes such arrays as two bytes without a meaning ('|V2'); true reads them as BF16.
  bool v2_is_bf16 = false;
};

// The array is called like the file, without folder and ending. Throws Error(kBadData) with the file and the offset.
FileContents parse_npy(FileBytes file, const NpyOptions& options = {});
// The arrays are called like their entries, without ".npy". A deflated one is checked to its end only when it is read.
FileContents parse_npz(const ZipArchive& zip, const NpyOptions& options = {});

inline bool looks_like_npy(const FileBytes& file) { return file.starts_with("\x93NUMPY"); }

}  // namespace taut
