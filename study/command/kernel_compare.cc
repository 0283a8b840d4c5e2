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

bool has_number(const Row& row, const char* field) { return row.contains(field) && row.at(field).is_number(); }

double number(const Row& row, const char* field) { return has_number(row, field) ? row.at(field).get<double>() : 0; }

const char* verdict(double change, double quieter, double louder, double threshold) {
  if (std::abs(change) <= std::max(threshold, quieter)) return "SAME";
  if (std::abs(change) <= louder) return "AMBG";
  return change < 0 ? "FAST" : "SLOW";
}

// The comparison of one number; more of it is worse.
Row compared(Row row, const char* what, double a, double b, double noise_a, double noise_b, double threshold) {
  const double change = a == b ? 0 : a == 0 ? HUGE_VAL : 100 * (b - a) / a, louder = std::max(noise_a, noise_b);
  row["what"] = what;
  row["a"] = a;
  row["b"] = b;
  row["change_percent"] = change;
  row["noise_percent"] = number_or_null(louder);
  row["verdict"] = verdict(change, std::min(noise_a, noise_b), louder, threshold);
  return row;
}

// Of a time that says nothing of it nobody knows what is noise: beyond the threshold all may be.
double noise(const Row& row) { return has_number(row, "noise_percent") ? number(row, "noise_percent") : HUGE_VAL; }

enum class Kind : uint8_t { kTimed, kCounted };

Kind kind_of(const Row& row, const std::string& path) {
  if (number(row, "milliseconds") > 0) return Kind::kTimed;
  const bool counted =
      std::any_of(std::begin(kCounts), std::end(kCounts), [&](const char* field) { return has_number(row, field); });
  if (!counted || row.contains("milliseconds"))
    fail(Exit::kBadData, "[{}] expected a time or counts in every row, got {}; hint: taut kernel bench OP -o json",
         path, row.dump());
  return Kind::kCounted;
}

}  // namespace

std::vector<Row> compare_benchmarks(const std::string& path_a, const std::string& path_b, double threshold_percent) {
  TAUT_CHECK(threshold_percent >= 0 && threshold_percent <= 100,
             "[--threshold] expected a percentage of 0 to 100, got {}", threshold_percent);
  constexpr const char* kHint = "taut kernel bench OP -o json";
  const std::vector<Row> before = read_rows(path_a, kHint);
  std::vector<Row> after = read_rows(path_b, kHint), rows;
  for (const Row& b : after) kind_of(b, path_b);
  for (const Row& a : before) {
    const Kind kind = kind_of(a, path_a);
    const Row name = name_of(a);
    const auto partner = std::find_if(after.begin(), after.end(), [&](const Row& b) { return name_of(b) == name; });
    if (partner == after.end()) {
      rows.push_back(name);
      rows.back()["verdict"] = "GONE";
      continue;
    }
    const Row b = *partner;
    after.erase(partner);
    if (kind_of(b, path_b) != kind) {
      const bool timed = kind == Kind::kTimed;
      fail(
          Exit::kBadData,
          "[kernel compare] {} is timed in {} and counted in {}, which cannot be compared; hint: both with --timed, or "
          "neither",
          name.dump(), timed ? path_a : path_b, timed ? path_b : path_a);
    }
    if (kind == Kind::kTimed) {
      rows.push_back(compared(name, "milliseconds", number(a, "milliseconds"), number(b, "milliseconds"), noise(a),
                              noise(b), threshold_percent));
      continue;
    }
    for (const char* field : kCounts) {
      if (a.contains(field) != b.contains(field))
        fail(Exit::kBadData,
             "[kernel compare] {} has a figure of {} in {} alone; hint: both tables from one command of one version",
             name.dump(), field, a.contains(field) ? path_a : path_b);
      if (has_number(a, field) && has_number(b, field))  // null: spills where nvcc was not asked
        rows.push_back(compared(name, field, number(a, field), number(b, field), 0, 0, 0));
    }
  }
  for (const Row& b : after) {
    rows.push_back(name_of(b));
    rows.back()["verdict"] = "NEW";
  }
  return rows;
}

}  // namespace taut::study
