#include "kernels/cross_entropy.h"

#include "kernels/loops.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {

template <class T>
void cross_entropy_forward(Stream, const T* x, const int64_t* labels, Real<T>* loss, int64_t rows, int64_t classes,
                           Real<T> label_smoothing) {
  parallel_for(rows, rows_grain(classes), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * classes;
      const T m = row_max(row, classes);
      const Vec<T> shift = broadcast(m);
      T sum_e, sum_x;
      row_sum_pair<T>(classes, sum_e, sum_x, [&](int64_t i, int64_t count, Vec<T>& e, Vec<T>& d) {
        const Vec<T> shifted = load_n(row + i, count) - shift;
        d = first_lanes(shifted, count, T(0));
        e = first_lanes(exp(shifted), count, T(0));
      });
      const T log_sum = log(sum_e);
      T value = log_sum - (row[labels[r]] - m);
      if (label_smoothing != 0) {
        value = (T(1) - label_smoothing) * value + label_smoothing * (log_sum - sum_x / static_cast<T>(classes));
      }
      loss[r] = value;
    }
  });
}

template <class T>
void cross_entropy_backward(Stream, const T* x, const int64_t* labels, const Real<T>* dloss, Real<T> scale, T* dx,
                            int64_t rows, int64_t classes, Real<T> label_smoothing) {
  const T share = label_smoothing / static_cast<T>(classes);
  parallel_for(rows, rows_grain(classes), [&](int64_t begin, int64_t end) {
    T* e = static_cast<T*>(thread_scratch(0, static_cast<size_t>(classes) * sizeof(T)));
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * classes;
      const Vec<T> shift = broadcast(row_max(row, classes));
      const T sum = row_sum<T>(classes, [&](int64_t i, int64_t count) {
        const Vec<T> v = exp(load_n(row + i, count) - shift);
        store_n(e + i, v, count);
        return first_lanes(v, count, T(0));
      });
      const int64_t label = labels[r];
      e[label] = 0;
      const T others = row_sum<T>(classes, [&](int64_t i, int64_t count) { return load_n(e + i, count); });
      const T inverse = T(1) / sum;
      const T upstream = dloss != nullptr ? scale * dloss[r] : scale;
      T* out = dx + r * classes;
      for_vectors(0, classes, [&](int64_t i, auto lanes) {
        lanes.store(out + i, broadcast(upstream) * fma(lanes.load(e + i), broadcast(inverse), broadcast(-share)));
      });
      out[label] = upstream * ((label_smoothing - share) - others * inverse);
    }
  });
}

void count_bad_labels(Stream, const int64_t* labels, int64_t rows, int64_t classes, int64_t* found) {
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) count += labels[r] < 0 || labels[r] >= classes;
  *found = count;
}

TAUT_INSTANTIATE_CROSS_ENTROPY(float)
TAUT_INSTANTIATE_CROSS_ENTROPY(double)

}  // namespace taut::TAUT_CPU
