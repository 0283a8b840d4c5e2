#include "tests/cases/choice.h"

#include <algorithm>
#include <map>

#include "kernels/error.h"

namespace taut::cases {

std::regex expression(const char* flag, const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    fail(Exit::kUsage, "[{}] expected a regular expression, got '{}'", flag, text);
  }
}

int64_t elements(const OpCase& c) {
  int64_t n = 0;
  for (const Input& input : c.inputs) n += numel(input.shape);
  return n;
}

double work(const OpCase& c) { return c.flops > 0 ? c.flops : static_cast<double>(elements(c)); }

bool is_small(const OpCase& c) { return c.flops < 1e6 && elements(c) < 50000; }

bool is_in_class(const OpCase& c, const std::string& name) {
  if (name == "small") return is_small(c);
  if (name == "train") return !is_small(c);
  TAUT_CHECK(name == "edge", "[--sizes] expected small, train or edge, got '{}'", name);
  constexpr int64_t kVector = 4;
  return is_small(c) && std::any_of(c.inputs.begin(), c.inputs.end(), [](const Input& input) {
           return std::any_of(input.shape.begin(), input.shape.end(),
                              [](int64_t n) { return n % kVector != 0 || n == 0; });
         });
}

std::vector<OpCase> matching_cases(const char* flag, const std::string& filter) {
  const std::regex wanted = expression(flag, filter);
  std::vector<OpCase> all = all_op_cases().cases;
  std::erase_if(all, [&](const OpCase& c) { return !std::regex_search(c.op + "/" + c.name, wanted); });
  TAUT_CHECK(!all.empty(), "[{}] no case matches '{}'; hint: names look like softmax/6x13-dim-1", flag, filter);
  return all;
}

const char* name(RunAs mode) {
  switch (mode) {
    case RunAs::kF32: return "f32";
    case RunAs::kTf32: return "tf32";
    case RunAs::kBf16: return "bf16";
  }
  return "?";
}

RunAs run_as_by_name(const std::string& text) {
  for (const RunAs mode : {RunAs::kF32, RunAs::kTf32, RunAs::kBf16})
    if (text == name(mode)) return mode;
  fail(Exit::kUsage, "[--dtype] expected f32, tf32 or bf16, got '{}'", text);
}

DType stored(RunAs mode) { return mode == RunAs::kBf16 ? DType::kBF16 : DType::kF32; }

namespace {

bool runs_as(RunAs mode, const OpCase& c) {
  return c.tf32 == (mode == RunAs::kTf32) && (mode != RunAs::kBf16 || c.bf16);
}

}  // namespace

std::vector<OpCase> cases_as(RunAs mode, const char* flag, const std::string& filter) {
  std::vector<OpCase> all = matching_cases(flag, filter);
  std::string others;
  for (const RunAs other : {RunAs::kF32, RunAs::kTf32, RunAs::kBf16})
    if (std::any_of(all.begin(), all.end(), [&](const OpCase& c) { return runs_as(other, c); }))
      others += fmt::format("{}{}", others.empty() ? "" : ",", name(other));
  std::erase_if(all, [&](const OpCase& c) { return !runs_as(mode, c); });
  TAUT_CHECK(!all.empty(), "[{}] no case that matches '{}' runs in {}; hint: --dtype {}", flag, filter, name(mode),
             others);
  return all;
}

std::vector<OpCase> largest_cases(const char* flag, const std::string& filter, double most_flops, RunAs mode) {
  std::vector<OpCase> all;
  std::map<std::string, size_t> largest;
  for (const OpCase& c : matching_cases(flag, filter)) {
    if (c.flops > most_flops || !runs_as(mode, c)) continue;
    const auto [at, is_new] = largest.emplace(c.op, all.size());
    if (is_new)
      all.push_back(c);
    else if (work(c) > work(all[at->second]))
      all[at->second] = c;
  }
  return all;
}

}  // namespace taut::cases
