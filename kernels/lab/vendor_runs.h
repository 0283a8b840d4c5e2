// The vendor's library on the problem of a ladder, and its attention: rows to beat, which production never asks for.
#pragma once

#include <functional>
#include <string>

#include "kernels/attention.h"
#include "kernels/lab/problems.h"

namespace taut::lab {

struct VendorRun {
  std::string name;           // "oneDNN 2.6.3", "cuBLASLt", "cuDNN"; empty where no library does this op here
  std::function<void()> run;  // writes the output, which is there when vendor_of or vendor_attention returns, too
};
// `data` is in the device's memory and outlives the run. Matrix products by oneDNN, on the CPU where it is installed,
// or cuBLASLt, and on a GPU convolutions by cuDNN, without tensor cores.
VendorRun vendor_of(const LadderOp& op, const Problem& problem, const LadderData& data, Device device);

// cuDNN's fused kernel, bf16, on a GPU's memory: qkv (b, t, 3, heads, d) -> out (b, t, heads, d).
VendorRun vendor_attention(const void* qkv, void* out, const AttentionShape& shape, Device device);

}  // namespace taut::lab
