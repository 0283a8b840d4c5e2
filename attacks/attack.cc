#include "attacks/attack.h"

#include <cmath>

#include "kernels/reduce.h"

namespace taut::attacks {

void AttackConfig::check() const {
  TAUT_CHECK(name == "pgd" || name == "bim" || name == "fgsm", "[attack.name] expected pgd, bim or fgsm, got '{}'",
             name);
  TAUT_CHECK(std::isfinite(eps) && eps >= 0, "[attack.eps] expected a number >= 0, got {}", eps);
  TAUT_CHECK(std::isfinite(alpha) && alpha >= 0, "[attack.alpha] expected a number >= 0, got {}", alpha);
  TAUT_CHECK(steps >= 0 && steps <= 100000, "[attack.steps] expected 0 to 100000, got {}", steps);
}

std::vector<int64_t> argmax_rows(const Tensor& logits) {
  TAUT_CHECK(logits.ndim() == 2 && logits.size(1) >= 1, "[argmax] expected logits (rows, classes), got {}",
             to_string(logits.shape()));
  const Tensor in = logits.contiguous();
  std::vector<int64_t> index(static_cast<size_t>(in.size(0)));
  on_float(in.dtype(), "argmax", [&]<class T>() {
    Tensor top = Tensor::empty({in.size(0)}, in.dtype(), in.device());
    ON_DEVICE(in.device(), max_dim<T>(current_stream(in.device()), in.data<T>(), top.data<T>(), index.data(),
                                      in.size(0), in.size(1), 1));
  });
  return index;
}

}  // namespace taut::attacks
