// Rows of the op cases: checks and benchmark.
#include <algorithm>

#include "kernels/devices.h"
#include "kernels/error.h"
#include "tests/cases/check_case.h"
#include "tests/cases/choice.h"
#include "tests/selftest.h"

namespace taut::selftest {
namespace {

// A regular expression for this name alone, on a shell's command line.
std::string repro(Device device, const std::string& id) {
  std::string escaped;
  for (const char c : id) {
    if (std::string_view(".^$|()[]{}*+?\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return fmt::format("taut selftest ops --device {} --filter '^{}$'", name(device.kind), escaped);
}

Row row_of(Device device, const std::string& op, const std::string& name, const char* dtype, const cases::Verdict& v) {
  return {{"op", op},
          {"case", name},
          {"status", v.judgement.pass ? "pass" : "fail"},
          {"max_error", v.judgement.error},
          {"limit", v.judgement.limit},
          {"dtype", dtype},
          {"repro", repro(device, op + "/" + name)},
          {"detail", v.detail}};
}

Row device_row(Row row, Device device, const cases::Verdict& v) {
  if (device.kind != DeviceKind::kCpu) row["equals_cpu"] = v.equals_cpu;
  return row;
}

Row skipped_row(Device device, const std::string& op, const std::string& name, const BackendState& state) {
  return {{"op", op},
          {"case", name},
          {"status", "skipped"},
          {"repro", repro(device, op + "/" + name)},
          {"detail", state.compiled ? state.note : "not compiled: " + state.note}};
}

template <class Case>
void keep_matching(std::vector<Case>& all, const std::regex& filter) {
  std::erase_if(all, [&](const Case& c) { return !std::regex_search(c.op + "/" + c.name, filter); });
}

}  // namespace

std::vector<Row> run_op_cases(Device device, const std::string& filter, const Progress& progress,
                              const std::string& sizes, bool red_zones) {
  const BackendState state = backend_state(device.kind);
  cases::CaseList list = cases::all_op_cases();
  const std::regex wanted = cases::expression("--filter", filter);
  keep_matching(list.cases, wanted);
  keep_matching(list.rejects, wanted);
  if (!sizes.empty()) {
    std::erase_if(list.cases, [&](const cases::OpCase& c) { return !cases::is_in_class(c, sizes); });
    list.rejects.clear();
  }
  const int64_t all = std::ssize(list.cases) + std::ssize(list.rejects);
  TAUT_CHECK(all > 0 || !sizes.empty(), "[--filter] no case matches '{}'; hint: names look like softmax/6x13-dim-1",
             filter);
  std::vector<Row> rows;
  int64_t done = 0;
  for (const cases::OpCase& c : list.cases) {
    if (!state.available) {
      rows.push_back(skipped_row(device, c.op, c.name, state));
      continue;
    }
    if (progress) progress(done++, all, c.op + "/" + c.name);
    for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16}) {
      if (dtype == DType::kBF16 && !c.bf16) continue;
      const cases::Verdict v = cases::check_case(c, dtype, device, red_zones);
      const char* const mode = c.tf32 && dtype == DType::kF32 ? "tf32" : name(dtype);
      rows.push_back(device_row(row_of(device, c.op, c.name, mode, v), device, v));
    }
  }
  for (const cases::RejectCase& c : list.rejects) {
    if (!state.available) break;  // they need no device
    if (progress) progress(done++, all, c.op + "/" + c.name);
    const cases::Verdict v = cases::check_reject(c);
    rows.push_back(device_row(row_of(device, c.op, c.name, "f32", v), device, v));
  }
  return rows;
}

std::vector<Row> op_rows() {
  std::vector<Row> rows;
  const std::vector<cases::OpCase> all = cases::all_op_cases().cases;
  for (const cases::OpCase& c : all) {
    const auto of_this_op = [&](const cases::OpCase& other) { return other.op == c.op; };
    const auto listed = [&](const Row& row) { return row.at("op") == c.op; };
    if (std::any_of(rows.begin(), rows.end(), listed)) continue;
    const auto some = [&](bool cases::OpCase::*precision) {
      return std::any_of(all.begin(), all.end(),
                         [&](const cases::OpCase& other) { return of_this_op(other) && other.*precision; });
    };
    rows.push_back({{"op", c.op},
                    {"dtype", fmt::format("f32, f64{}{}", some(&cases::OpCase::bf16) ? ", bf16" : "",
                                          some(&cases::OpCase::tf32) ? ", tf32" : "")},
                    {"cases", std::count_if(all.begin(), all.end(), of_this_op)}});
  }
  return rows;
}

int exit_code(const std::vector<Row>& rows, const std::string& allow_unsupported) {
  const std::regex allowed = cases::expression("--allow-unsupported", allow_unsupported);
  const bool allows = !allow_unsupported.empty();
  const auto was_skipped = [](const Row& row) { return row.at("status") == "skipped"; };
  if (!rows.empty() && std::all_of(rows.begin(), rows.end(), was_skipped)) return kSkipped;
  for (const Row& row : rows) {
    const std::string status = row.at("status");
    if (status == "pass") continue;
    const auto matches = [&](const char* field) {
      return row.contains(field) && std::regex_search(row.at(field).get<std::string>(), allowed);
    };
    if (status != "unsupported" || !allows || !(matches("case") || matches("kind"))) return 1;
  }
  return 0;
}

}  // namespace taut::selftest
