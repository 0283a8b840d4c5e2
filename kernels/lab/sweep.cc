#include "kernels/lab/sweep.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "kernels/error.h"

namespace taut::lab {
namespace {

constexpr int64_t kLargest = 100'000'000;
constexpr size_t kMostPoints = 1000;
constexpr double kLargestProduct = 1e15;  // no count of bytes or operations overflows, and no machine gets there

// Reads the right side of an axis from front to back.
class ValueReader {
 public:
  explicit ValueReader(const std::string& axis) : axis_(axis), at_(axis.data() + axis.find('=') + 1) {}

  std::vector<int64_t> read() {
    std::vector<int64_t> values;
    read_one(values);
    while (take(",")) read_one(values);
    if (at_ != end_ || std::set(values.begin(), values.end()).size() != values.size()) refuse();
    return values;
  }

 private:
  void read_one(std::vector<int64_t>& values) {
    const int64_t first = number();
    values.push_back(first);
    if (!take("..")) return;
    const int64_t last = number();
    if (last < first) refuse();
    const bool times = take("*");
    if (!times && !take("+")) refuse();
    const int64_t step = number();
    if (times && step == 1) refuse();
    for (int64_t v = first; (v = times ? v * step : v + step) <= last && values.size() <= kMostPoints;)
      values.push_back(v);
  }
  bool take(std::string_view text) {
    if (!std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  int64_t number() {
    int64_t value = 0;
    const auto [next, error] = std::from_chars(at_, end_, value);
    if (error != std::errc() || value < 1 || value > kLargest) refuse();
    at_ = next;
    return value;
  }
  [[noreturn]] void refuse() const {
    fail(Exit::kUsage,
         "[-a] expected NAME=VALUES of numbers from 1 to {}, none twice and ranges ascending, as in 64,197 or "
         "64..4096*2 or 100..500+100, got '{}'",
         kLargest, axis_);
  }

  const std::string& axis_;
  const char *at_, *end_ = axis_.data() + axis_.size();
};

}  // namespace

std::vector<std::string> size_names(const LadderOp& op) {
  std::istringstream text(op.sizes);
  std::vector<std::string> names;
  for (std::string name; text >> name;) names.push_back(name);
  return names;
}

std::vector<Sizes> sweep_sizes(const LadderOp& op, const Sizes& others, const std::vector<std::string>& axes) {
  const std::vector<std::string> names = size_names(op);
  std::vector<Sizes> all{others};
  std::vector<std::string> seen;
  for (const std::string& axis : axes) {
    const std::string name = axis.substr(0, axis.find('='));
    const auto at = std::find(names.begin(), names.end(), name);
    TAUT_CHECK(at != names.end() && axis.size() > name.size(),
               "[-a] expected NAME=VALUES with a size of {} ({}), got '{}'", op.op, op.sizes, axis);
    TAUT_CHECK(std::find(seen.begin(), seen.end(), name) == seen.end(), "[-a] expected '{}' once", name);
    seen.push_back(name);
    const std::vector<int64_t> values = ValueReader(axis).read();
    TAUT_CHECK(all.size() * values.size() <= kMostPoints, "[-a] expected at most {} combinations", kMostPoints);
    std::vector<Sizes> more;
    for (const Sizes& point : all)
      for (const int64_t value : values) {
        more.push_back(point);
        more.back()[static_cast<size_t>(at - names.begin())] = value;
      }
    all = std::move(more);
  }
  for (const Sizes& point : all) {
    double product = 1;
    for (size_t i = 0; i < names.size(); ++i) product *= static_cast<double>(point[i]);
    TAUT_CHECK(product <= kLargestProduct, "[-a] expected sizes of {} with a product of at most {:g}, got {}", op.op,
               kLargestProduct, sizes_text(op, point));
  }
  return all;
}

std::string sizes_text(const LadderOp& op, const Sizes& sizes) {
  const std::vector<std::string> names = size_names(op);
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += fmt::format("{}{}={}", text.empty() ? "" : " ", names[i], sizes[i]);
  return text;
}

}  // namespace taut::lab
