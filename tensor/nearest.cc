#include "tensor/nearest.h"

#include <algorithm>
#include <numeric>

namespace taut {
namespace {

// Edit distance in which swapping two neighbours is one edit (optimal string alignment).
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& names) {
  const auto it = std::min_element(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return distance(name, a) < distance(name, b);
  });
  return it == names.end() ? std::string() : *it;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& names) {
  return names.empty() ? "there are none" : "did you mean '" + nearest_name(name, names) + "'?";
}

}  // namespace taut
