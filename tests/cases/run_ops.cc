// Rows of the op cases: checks and benchmark.
#include <algorithm>
#include <chrono>
#include <regex>

#include "tests/cases/check_case.h"
#include "tests/selftest.h"

namespace taut::selftest {
namespace {

std::regex compile(const char* flag, const std::string& expression) {
  try {
    return std::regex(expression);
  } catch (const std::regex_error&) {
    fail(Exit::kUsage, "[{}] expected a regular expression, got '{}'", flag, expression);
  }
}

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

template <class Case>
void keep_matching(std::vector<Case>& all, const std::regex& filter) {
  std::erase_if(all, [&](const Case& c) { return !std::regex_search(c.op + "/" + c.name, filter); });
}

// Median seconds of a call, over 5 to 200 of them, in a twentieth of a second or so.
template <class F>
double median_seconds(F&& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  double total = 0;
  call();  // touches the memory
  while (seconds.size() < 5 || (total < 0.05 && seconds.size() < 200)) {
    const auto begin = Clock::now();
    call();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    total += seconds.back();
  }
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace

std::vector<Row> run_op_cases(Device device, const std::string& filter, const Progress& progress) {
  if (device.kind == DeviceKind::kCuda) backend_not_built(device.kind);
  cases::CaseList list = cases::all_op_cases();
  const std::regex wanted = compile("--filter", filter);
  keep_matching(list.cases, wanted);
  keep_matching(list.rejects, wanted);
  const int64_t all = std::ssize(list.cases) + std::ssize(list.rejects);
  TAUT_CHECK(all > 0, "[--filter] no case matches '{}'; hint: names look like softmax/6x13-dim-1", filter);
  std::vector<Row> rows;
  int64_t done = 0;
  for (const cases::OpCase& c : list.cases) {
    if (progress) progress(done++, all, c.op + "/" + c.name);
    for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16}) {
      if (dtype == DType::kBF16 && !c.bf16) continue;
      const cases::Verdict v = cases::check_case(c, dtype, device);
      rows.push_back(device_row(row_of(device, c.op, c.name, name(dtype), v), device, v));
    }
  }
  for (const cases::RejectCase& c : list.rejects) {
    if (progress) progress(done++, all, c.op + "/" + c.name);
    const cases::Verdict v = cases::check_reject(c);
    rows.push_back(device_row(row_of(device, c.op, c.name, "f32", v), device, v));
  }
  return rows;
}

std::vector<Row> bench_op_cases(Device device, const std::string& filter) {
  if (device.kind != DeviceKind::kCpu) backend_not_built(device.kind);
  cases::CaseList list = cases::all_op_cases();
  keep_matching(list.cases, compile("--filter", filter));
  std::vector<Row> rows;
  for (const cases::OpCase& c : list.cases) {
    const std::vector<Tensor> inputs = cases::make_inputs(c, DType::kF32, device);
    const std::vector<bool> none(inputs.size(), false), mask = cases::differentiable(c);
    int64_t bytes = 0;
    for (const Tensor& t : inputs) bytes += t.bytes();
    for (const Tensor& t : cases::run_case(c, inputs, none).outputs) bytes += t.bytes();
    const double forward = median_seconds([&] { cases::run_case(c, inputs, none); });
    const auto add = [&](const char* pass, double seconds, double flops) {
      rows.push_back({{"op", c.op},
                      {"case", c.name},
                      {"pass", pass},
                      {"milliseconds", 1e3 * seconds},
                      {"gflops", 1e-9 * flops / seconds},
                      {"gb_per_second", 1e-9 * static_cast<double>(bytes) / seconds}});
    };
    add("forward", forward, c.flops);
    if (std::find(mask.begin(), mask.end(), true) != mask.end()) {
      const double both = median_seconds([&] { cases::run_case(c, inputs, mask); });
      add("forward+backward", both, 3 * c.flops);
    }
  }
  TAUT_CHECK(!rows.empty(), "[--filter] no case matches '{}'", filter);
  return rows;
}

int exit_code(const std::vector<Row>& rows, const std::string& allow_unsupported) {
  const std::regex allowed = compile("--allow-unsupported", allow_unsupported);
  const bool allows = !allow_unsupported.empty();
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
