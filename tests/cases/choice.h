// Which of the op cases a command works on.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "tests/cases/op_case.h"

namespace taut::cases {

// Throws Error(kUsage) that names the option `flag`.
std::regex expression(const char* flag, const std::string& text);

int64_t elements(const OpCase& c);  // of all inputs
// Operations of a forward pass where the op knows them, else numbers that go in: for comparing cases of one op.
double work(const OpCase& c);
// Small enough for the many runs of a whole check on a device that is simulated.
bool is_small(const OpCase& c);
// Classes of sizes: small, train (the others: a real model's), edge (a size of 0 or 1, or one that no vector divides).
// Throws Error(kUsage) on another name.
bool is_in_class(const OpCase& c, const std::string& name);

// Those whose OP/CASE contains a match of `filter`; throws Error(kUsage) where there is none.
std::vector<OpCase> matching_cases(const char* flag, const std::string& filter);
// What a case is run as: f32 leaves out the cases of tf32, bf16 also those that have no kernels for it.
enum class RunAs { kF32, kTf32, kBf16 };
const char* name(RunAs mode);                   // "f32", "tf32", "bf16"
RunAs run_as_by_name(const std::string& name);  // throws Error(kUsage) that names the option --dtype
DType stored(RunAs mode);                       // what the inputs are stored in
// Those of matching_cases that run so; throws Error(kUsage) where there is none.
std::vector<OpCase> cases_as(RunAs mode, const char* flag, const std::string& filter);
// Of each of their ops the one of most work that takes no more than `most_flops`; may be none.
std::vector<OpCase> largest_cases(const char* flag, const std::string& filter, double most_flops,
                                  RunAs mode = RunAs::kF32);

}  // namespace taut::cases
