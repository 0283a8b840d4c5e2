// What an op case must hold, derived from the case alone.
#pragma once

#include <string>
#include <vector>

#include "tests/cases/op_case.h"
#include "tests/cases/tolerance.h"

namespace taut::cases {

// Outputs of a run and the gradients of its differentiable inputs (undefined for the others).
struct Ran {
  std::vector<Tensor> outputs;
  Grads gradients;
};

struct Verdict {
  Judgement judgement;
  bool equals_cpu = true;  // off the CPU: outputs and gradients have its bytes
  std::string detail;      // what failed; empty for a pass
};

// The inputs a case calls differentiable.
std::vector<bool> differentiable(const OpCase& c);
// Runs the op on `inputs`; gradients of sum <output, dy> are asked of the inputs that `mask` marks.
Ran run_case(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask, bool integers = false);
// The same with dy, one for each output, that is there already.
Ran run_case(const OpCase& c, const std::vector<Tensor>& inputs, const std::vector<bool>& mask, const Grads& dy);

// Every check of one case in one dtype (f64, f32, or bf16 where the case has it). Off the CPU, f32 cases must have its
// bytes too (but for Winograd's, which other devices compute directly); a case of a real model's size is run once
// there.
// Red zones (kernels/red_zones.h) are on in host memory, and with `red_zones` in the device's, which then waits for
// every kernel before it reuses memory.
// Throws Error(kMemory) and Error(kUnavailable) where the device fails, whatever the case.
Verdict check_case(const OpCase& c, DType dtype, Device device, bool red_zones = false);
Verdict check_reject(const RejectCase& c);

}  // namespace taut::cases
