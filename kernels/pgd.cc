#include "kernels/pgd.h"

#include "kernels/loops.h"
#include "kernels/math.h"
#include "kernels/patch_runs.h"

namespace taut::TAUT_CPU {
namespace {

// min(high, max(low, v)); this order lets NaN through.
template <class T>
TAUT_INLINE Vec<T> clamp(Vec<T> v, Vec<T> low, Vec<T> high) {
  return min(high, max(low, v));
}
template <class T>
TAUT_INLINE Vec<T> clamp_to_image(Vec<T> v) {
  return clamp(v, broadcast(T(0)), broadcast(T(1)));
}

template <class T>
T norm(const T* v, int64_t n) {
  return sqrt(whole_sum<T>(n, [&](int64_t i, int64_t count) {
    const Vec<T> x = load_n(v + i, count);
    return x * x;
  }));
}

template <class T>
TAUT_INLINE T at_least(T floor, T v) {
  return v < floor ? floor : v;
}

// One step of pixels: adv' of x, g and adv.
template <class T>
class LinfStep {
 public:
  LinfStep(T alpha, T eps)
      : up_(broadcast(alpha)), down_(broadcast(-alpha)), low_(broadcast(-eps)), high_(broadcast(eps)) {}
  TAUT_INLINE Vec<T> operator()(Vec<T> x, Vec<T> g, Vec<T> adv) const {
    const Vec<T> zero = broadcast(T(0));
    const Vec<T> step = select(less(zero, g), up_, select(less(g, zero), down_, zero));
    return clamp_to_image(x + clamp((adv + step) - x, low_, high_));
  }

 private:
  Vec<T> up_, down_, low_, high_;
};

}  // namespace

template <class T>
void pgd_step_linf(Stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps) {
  const LinfStep<T> step(alpha, eps);
  parallel_vectors(samples * n, [&](int64_t i, auto lanes) {
    lanes.store(adv + i, step(lanes.load(x + i), lanes.load(g + i), lanes.load(adv + i)));
  });
}

template <class T>
void pgd_step_patches(Stream, const Real<T>* x, const T* dpatches, const Real<T>* mean, const Real<T>* std,
                      Real<T>* adv, T* patches, const PatchShape& shape, Real<T> alpha, Real<T> eps) {
  const LinfStep<T> step(alpha, eps);
  const int64_t p = shape.p;
  for_pixel_runs(shape, [&](int64_t channel, int64_t pixel, int64_t column) {
    const Vec<T> centre = broadcast(mean[channel]), deviation = broadcast(std[channel]);
    for_vectors(0, p, [&](int64_t i, auto lanes) {
      const Vec<T> g = lanes.load(dpatches + column + i) / deviation;
      const Vec<T> to = step(lanes.load(x + pixel + i), g, lanes.load(adv + pixel + i));
      lanes.store(adv + pixel + i, to);
      lanes.store(patches + column + i, (to - centre) / deviation);
    });
  });
}

template <class T>
void pgd_step_l2(Stream, const T* x, const T* g, T* adv, int64_t samples, int64_t n, T alpha, T eps) {
  parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const T *image = x + s * n, *gradient = g + s * n;
      T* out = adv + s * n;
      const Vec<T> step = broadcast(alpha / (norm(gradient, n) + static_cast<T>(1e-10)));
      const T squares = whole_sum<T>(n, [&](int64_t i, int64_t count) {
        const Vec<T> d = fma(step, load_n(gradient + i, count), load_n(out + i, count)) - load_n(image + i, count);
        store_n(out + i, d, count);
        return d * d;
      });
      const T shrink = eps / at_least(static_cast<T>(1e-12), sqrt(squares));
      const Vec<T> factor = broadcast(shrink < T(1) ? shrink : T(1));
      for_vectors(0, n, [&](int64_t i, auto lanes) {
        lanes.store(out + i, clamp_to_image(fma(factor, lanes.load(out + i), lanes.load(image + i))));
      });
    }
  });
}

template <class T>
void pgd_start_linf(Stream, const T* x, const T* u, T* adv, int64_t samples, int64_t n, T eps) {
  const Vec<T> two = broadcast(T(2)), minus_one = broadcast(T(-1)), radius = broadcast(eps);
  parallel_vectors(samples * n, [&](int64_t i, auto lanes) {
    lanes.store(adv + i, clamp_to_image(lanes.load(x + i) + radius * fma(two, lanes.load(u + i), minus_one)));
  });
}

template <class T>
void pgd_start_l2(Stream, const T* x, const T* direction, const T* radius, T* adv, int64_t samples, int64_t n, T eps) {
  parallel_for(samples, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const Vec<T> factor = broadcast(eps * radius[s] / at_least(static_cast<T>(1e-12), norm(direction + s * n, n)));
      for_vectors(s * n, (s + 1) * n, [&](int64_t i, auto lanes) {
        lanes.store(adv + i, clamp_to_image(fma(factor, lanes.load(direction + i), lanes.load(x + i))));
      });
    }
  });
}

template <class T>
void linf_distance(Stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n) {
  parallel_for(samples, rows_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      Vec<T> greatest = broadcast(T(0));
      bool nan = false;
      for_vectors(s * n, (s + 1) * n, [&](int64_t i, auto lanes) {
        const Vec<T> d = abs(lanes.load(adv + i) - lanes.load(x + i));
        nan |= any(is_nan(d));
        greatest = max(d, greatest);
      });
      alignas(64) T lanes[kLanes];
      store(lanes, greatest);
      T result = 0;
      for (const T lane : lanes) result = at_least(result, lane);
      distance[s] = nan ? static_cast<T>(__builtin_nan("")) : result;
    }
  });
}

template <class T>
void count_zeros(Stream, const T* g, int64_t* zeros, int64_t samples, int64_t n) {
  parallel_for(samples, rows_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      int64_t count = 0;
      for (int64_t i = 0; i < n; ++i) count += g[s * n + i] == T(0);
      zeros[s] = count;
    }
  });
}

template <class T>
void l2_distance(Stream, const T* x, const T* adv, T* distance, int64_t samples, int64_t n) {
  parallel_for(samples, rows_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      distance[s] = sqrt(whole_sum<T>(n, [&](int64_t i, int64_t count) {
        const Vec<T> d = load_n(adv + s * n + i, count) - load_n(x + s * n + i, count);
        return d * d;
      }));
    }
  });
}

TAUT_INSTANTIATE_PGD(float)
TAUT_INSTANTIATE_PGD(double)
TAUT_INSTANTIATE_PGD_STORED(float)
TAUT_INSTANTIATE_PGD_STORED(double)

}  // namespace taut::TAUT_CPU
