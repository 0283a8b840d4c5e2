#include "attacks/attempts.h"

#include <numeric>

namespace taut::attacks {
namespace {

Tensor rows_of(const Tensor& t, std::span<const int64_t> rows) {
  Shape shape = t.shape();
  shape[0] = static_cast<int64_t>(rows.size());
  Tensor out = Tensor::empty(shape, t.dtype(), t.device());
  for (size_t i = 0; i < rows.size(); ++i) out.slice(0, static_cast<int64_t>(i), 1).copy_from(t.slice(0, rows[i], 1));
  return out;
}

void merge(AttackResult& all, const AttackResult& one, std::span<const int64_t> rows) {
  all.zero_pixels += one.zero_pixels;
  all.judged_pixels += one.judged_pixels;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto at = static_cast<size_t>(rows[i]);
    const auto from = static_cast<int64_t>(i);
    all.zero_gradient[at] = all.zero_gradient[at] != 0 || one.zero_gradient[i] != 0;
    const bool wins = one.correct.back()[i] == 0 || one.losses.back()[i] > all.losses.back()[at];
    for (size_t k = 0; k < all.correct.size(); ++k) {
      all.correct[k][at] = all.correct[k][at] != 0 && one.correct[k][i] != 0;
      if (wins) all.losses[k][at] = one.losses[k][i];
    }
    if (!wins) continue;
    all.adversarial.slice(0, rows[i], 1).copy_from(one.adversarial.slice(0, from, 1));
    all.logits.slice(0, rows[i], 1).copy_from(one.logits.slice(0, from, 1));
  }
}

}  // namespace

AttackResult strongest(const Tensor& x, const Tensor& labels, const AttackSeed& seed,
                       const std::vector<Attempt>& attempts) {
  std::vector<int64_t> rows(static_cast<size_t>(x.size(0)));
  std::iota(rows.begin(), rows.end(), 0);
  AttackSeed own = seed;
  AttackResult all = attempts.at(0)(x, labels, own, rows);
  for (size_t k = 1; k < attempts.size(); ++k) {
    std::erase_if(rows, [&](int64_t row) { return all.correct.back()[static_cast<size_t>(row)] == 0; });
    if (rows.empty()) break;
    own.attempt = k;
    own.ids.clear();
    for (const int64_t row : rows) own.ids.push_back(seed.ids.at(static_cast<size_t>(row)));
    merge(all, attempts[k](rows_of(x, rows), rows_of(labels, rows), own, rows), rows);
  }
  return all;
}

}  // namespace taut::attacks
