#include "attacks/norm_ball.h"

#include "kernels/parallel.h"
#include "kernels/pgd.h"
#include "tensor/random.h"

namespace taut::attacks {

// Keys of attempts lie far apart (the golden ratio of 2^64), so that seeds next to each other do not share streams.
constexpr uint64_t kAttemptKey = 0x9E3779B97F4A7C15;

Tensor random_start(const Tensor& x, const AttackConfig& config, const AttackSeed& seed) {
  const int64_t samples = x.size(0), n = samples > 0 ? x.numel() / samples : 0;
  TAUT_CHECK(static_cast<int64_t>(seed.ids.size()) == samples, "[attack] expected an id for each of {} images, got {}",
             samples, seed.ids.size());
  Tensor noise = Tensor::empty(x.shape(), x.dtype()), radius = Tensor::empty({samples}, x.dtype());
  Tensor start = Tensor::empty(x.shape(), x.dtype(), x.device());
  on_float(x.dtype(), "attack", [&]<class T>() {
    T* u = noise.data<T>();
    T* const radius_of = radius.data<T>();
    parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        // One stream an image: its start does not depend on the batch it is in.
        Random random(seed.seed + seed.attempt * kAttemptKey, Purpose::kAttackStart, seed.step,
                      static_cast<uint64_t>(seed.ids[static_cast<size_t>(i)]));
        if (config.norm == Norm::kLinf) {
          for (int64_t j = 0; j < n; ++j) u[i * n + j] = static_cast<T>(random.uniform());
        } else {
          radius_of[i] = static_cast<T>(random.uniform());
          for (int64_t j = 0; j < n; ++j) u[i * n + j] = static_cast<T>(random.normal());
        }
      }
    });
    const Stream stream = current_stream(x.device());
    const Tensor moves = noise.to(x.device()), radii = radius.to(x.device());
    const T eps = static_cast<T>(config.eps);
    if (config.norm == Norm::kLinf)
      ON_DEVICE(x.device(), pgd_start_linf<T>(stream, x.data<T>(), moves.data<T>(), start.data<T>(), samples, n, eps));
    else
      ON_DEVICE(x.device(), pgd_start_l2<T>(stream, x.data<T>(), moves.data<T>(), radii.data<T>(), start.data<T>(),
                                            samples, n, eps));
  });
  return start;
}

void ascend(const Tensor& x, const Tensor& g, Tensor& adv, const AttackConfig& config) {
  const int64_t samples = x.size(0), n = samples > 0 ? x.numel() / samples : 0;
  on_float(x.dtype(), "attack", [&]<class T>() {
    const Stream stream = current_stream(x.device());
    const T alpha = static_cast<T>(config.alpha), eps = static_cast<T>(config.eps);
    if (config.norm == Norm::kLinf)
      ON_DEVICE(x.device(), pgd_step_linf<T>(stream, x.data<T>(), g.data<T>(), adv.data<T>(), samples, n, alpha, eps));
    else
      ON_DEVICE(x.device(), pgd_step_l2<T>(stream, x.data<T>(), g.data<T>(), adv.data<T>(), samples, n, alpha, eps));
  });
  adv.bump_version();
}

std::vector<double> distances(const Tensor& x, const Tensor& adv, Norm norm) {
  const int64_t samples = x.size(0), n = samples > 0 ? x.numel() / samples : 0;
  Tensor d = Tensor::empty({samples}, x.dtype(), x.device());
  on_float(x.dtype(), "attack", [&]<class T>() {
    const Stream stream = current_stream(x.device());
    if (norm == Norm::kLinf)
      ON_DEVICE(x.device(), linf_distance<T>(stream, x.data<T>(), adv.data<T>(), d.data<T>(), samples, n));
    else
      ON_DEVICE(x.device(), l2_distance<T>(stream, x.data<T>(), adv.data<T>(), d.data<T>(), samples, n));
  });
  return d.to_doubles();
}

}  // namespace taut::attacks
