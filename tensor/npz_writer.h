// Writing .npz, the archives of NumPy arrays: a zip of stored .npy entries, as np.savez makes them (their reader:
// tensor/files/npy.h).
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace taut {

// Writes atomically. `dtypes` spells, as safetensors does, the type a tensor's bits stand for where that is not its own
// (F16 carried as BF16). Throws Error(kUsage) for a type NumPy does not have (BF16), a name given twice and archives of
// 4 GiB and more, Error(kIo) where the file cannot be written.
void write_npz(const std::string& path, const std::vector<std::pair<std::string, Tensor>>& tensors,
               const std::map<std::string, std::string>& dtypes = {});

}  // namespace taut
