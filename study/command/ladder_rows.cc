#include "study/command/ladder_rows.h"

#include <charconv>

#include "kernels/error.h"

namespace taut::study {

std::pair<std::string, int> op_and_rung(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return {text, 0};
  int rung = 0;
  const char *begin = text.data() + colon + 1, *end = text.data() + text.size();
  const bool good = std::from_chars(begin, end, rung).ptr == end && rung >= 1;
  TAUT_CHECK(good && begin != end, "[kernel] expected OP or OP:RUNG with a rung of at least 1, got '{}'", text);
  return {text.substr(0, colon), rung};
}

void expect_op(const char* command, const std::string& op) {
  TAUT_CHECK(!op.empty(), "[kernel {}] expected an op, got ''; hint: `taut kernel ls` lists them", command);
}

Row rung_row(const lab::LadderRow& r, Device device, bool counted) {
  Row row = {{"op", r.op},
             {"device", name(device.kind)},
             {"rung", r.rung},
             {"idea", r.idea},
             {"production", r.production},
             {"verified", r.verified},
             {"better", r.better.empty() ? Row(nullptr) : Row(r.better)},
             {"is_better", r.better.empty() ? Row(nullptr) : Row(r.is_better)}};
  if (counted) {
    row["launches"] = r.launches;
    row["requests"] = r.requests;
    row["sectors"] = r.sectors;
    row["sector_percent"] = r.sector_percent;
    row["wavefronts"] = r.wavefronts;
    row["barriers"] = r.barriers;
  } else {
    row["milliseconds"] = r.milliseconds;
    row["p10_milliseconds"] = r.p10_milliseconds;
    row["p90_milliseconds"] = r.p90_milliseconds;
    row["noise_percent"] = r.noise_percent;
    row["gflops"] = r.gflops;
    row["gb_per_second"] = r.gb_per_second;
    row["percent_of_peak"] = number_or_null(r.percent_of_peak);
    row["vendor"] = r.vendor.empty() ? Row(nullptr) : Row(r.vendor);
    row["vendor_milliseconds"] = number_or_null(r.vendor_milliseconds);
    row["percent_of_vendor"] = number_or_null(r.percent_of_vendor);
  }
  row["shape"] = r.shape;
  return row;
}

}  // namespace taut::study
