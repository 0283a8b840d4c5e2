#include "study/command/kernel_compare.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "study/command/rows_file.h"

namespace taut::study {
namespace {

constexpr const char* kNames[] = {"op",     "case",    "shape", "dtype",  "pass",    "caches",
                                  "device", "threads", "rung",  "kernel", "kernels", "site"};
constexpr const char* kCounts[] = {"launches", "requests", "sectors", "wavefronts", "barriers", "spill_bytes"};

Row name_of(const Row& row) {
  Row name = Row::object();
  for (const char* field : kNames)
    if (row.contains(field)) name[field] = row.at(field);
  return name;
}

double number(const Row& row, const char* field) {
  return row.contains(field) && row.at(field).is_number() ? row.at(field).get<double>() : 0;
}

const char* verdict(double change, double quieter, double louder, double threshold) {
  if (std::abs(change) <= std::max(threshold, quieter)) return "SAME";
  if (std::abs(change) <= louder) return "AMBG";
  return change < 0 ? "FAST" : "SLOW";
}

// The comparison of one number; more of it is worse.
Row compared(Row row, const char* what, double a, double b, double noise_a, double noise_b, double threshold) {
  const double change = a == b ? 0 : a == 0 ? HUGE_VAL : 100 * (b - a) / a;
  row["what"] = what;
  row["a"] = a;
  row["b"] = b;
  row["change_percent"] = change;
  row["noise_percent"] = std::max(noise_a, noise_b);
  row["verdict"] = verdict(change, std::min(noise_a, noise_b), std::max(noise_a, noise_b), threshold);
  return row;
}

}  // namespace

std::vector<Row> compare_benchmarks(const std::string& path_a, const std::string& path_b, double threshold_percent) {
  constexpr const char* kHint = "taut kernel bench OP -o json";
  const std::vector<Row> before = read_rows(path_a, kHint);
  std::vector<Row> after = read_rows(path_b, kHint), rows;
  for (const Row& a : before) {
    const Row name = name_of(a);
    const auto partner = std::find_if(after.begin(), after.end(), [&](const Row& b) { return name_of(b) == name; });
    if (partner == after.end()) {
      rows.push_back(name);
      rows.back()["verdict"] = "GONE";
      continue;
    }
    const Row b = *partner;
    after.erase(partner);
    const size_t count = rows.size();
    if (a.contains("milliseconds") && number(a, "milliseconds") > 0) {
      rows.push_back(compared(name, "milliseconds", number(a, "milliseconds"), number(b, "milliseconds"),
                              number(a, "noise_percent"), number(b, "noise_percent"), threshold_percent));
    } else if (a.contains("gflops") && number(a, "gflops") > 0 && number(b, "gflops") > 0) {
      rows.push_back(compared(name, "nanoseconds a thousand operations", 1e3 / number(a, "gflops"),
                              1e3 / number(b, "gflops"), 0, 0, threshold_percent));
    } else {
      for (const char* field : kCounts)
        if (a.contains(field) && b.contains(field) && a.at(field).is_number() && b.at(field).is_number())
          rows.push_back(compared(name, field, number(a, field), number(b, field), 0, 0, 0));
    }
    if (rows.size() == count)
      fail(Exit::kBadData, "[{}] expected a time or counts in every row, got {}", path_a, a.dump());
  }
  for (const Row& b : after) {
    rows.push_back(name_of(b));
    rows.back()["verdict"] = "NEW";
  }
  return rows;
}

}  // namespace taut::study
