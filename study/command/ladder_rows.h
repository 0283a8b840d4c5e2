// What the commands of the kernel lab share: an op with a rung, and a rung as a row.
#pragma once

#include <string>
#include <utility>

#include "kernels/lab/ladder.h"
#include "study/output.h"

namespace taut::study {

// "softmax:3" and "softmax" (0). Throws Error(kUsage).
std::pair<std::string, int> op_and_rung(const std::string& text);

// Throws Error(kUsage) where `op` is empty, which as an expression would be every op.
void expect_op(const char* command, const std::string& op);

// A rung that was counted, or timed.
Row rung_row(const lab::LadderRow& rung, Device device, bool counted);

}  // namespace taut::study
