#include "kernels/softmax.h"

#include "kernels/loops.h"
#include "kernels/math.h"

namespace taut::TAUT_CPU {
namespace {

// row(in, out) for every row along the middle dimension of the inputs x and the output y; rows that are not contiguous
// are copied to and from scratch memory.
template <int inputs, class T, class Row>
void for_rows(const T* const (&x)[inputs], T* y, int64_t outer, int64_t n, int64_t inner, Row&& row) {
  parallel_for(outer * inner, rows_grain(n), [&](int64_t begin, int64_t end) {
    T* buffer =
        inner == 1 ? nullptr : static_cast<T*>(thread_scratch(0, static_cast<size_t>((inputs + 1) * n) * sizeof(T)));
    for (int64_t r = begin; r < end; ++r) {
      const T* in[inputs];
      if (inner == 1) {
        for (int k = 0; k < inputs; ++k) in[k] = x[k] + r * n;
        row(in, y + r * n);
        continue;
      }
      const int64_t first = r / inner * n * inner + r % inner;
      for (int k = 0; k < inputs; ++k) {
        T* copy = buffer + k * n;
        for (int64_t i = 0; i < n; ++i) copy[i] = x[k][first + i * inner];
        in[k] = copy;
      }
      T* out = buffer + inputs * n;
      row(in, out);
      for (int64_t i = 0; i < n; ++i) y[first + i * inner] = out[i];
    }
  });
}

}  // namespace

template <class T>
void softmax_forward(Stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (n == 0) return;
  for_rows<1>({x}, y, outer, n, inner, [n](const T* const(&in)[1], T* out) {
    const Vec<T> m = broadcast(row_max(in[0], n));
    const T sum = row_sum<T>(n, [&](int64_t i, int64_t count) {
      const Vec<T> e = exp(load_n(in[0] + i, count) - m);
      store_n(out + i, e, count);
      return first_lanes(e, count, T(0));
    });
    const Vec<T> inverse = broadcast(T(1) / sum);
    for_vectors(0, n, [&](int64_t i, auto lanes) { lanes.store(out + i, lanes.load(out + i) * inverse); });
  });
}

template <class T>
void softmax_backward(Stream, const T* dy, const T* y, T* dx, int64_t outer, int64_t n, int64_t inner) {
  for_rows<2>({dy, y}, dx, outer, n, inner, [n](const T* const(&in)[2], T* out) {
    const Vec<T> sum = broadcast(
        row_sum<T>(n, [&](int64_t i, int64_t count) { return load_n(in[0] + i, count) * load_n(in[1] + i, count); }));
    for_vectors(0, n, [&](int64_t i, auto lanes) {
      lanes.store(out + i, lanes.load(in[1] + i) * (lanes.load(in[0] + i) - sum));
    });
  });
}

template <class T>
void log_softmax_forward(Stream, const T* x, T* y, int64_t outer, int64_t n, int64_t inner) {
  if (n == 0) return;
  for_rows<1>({x}, y, outer, n, inner, [n](const T* const(&in)[1], T* out) {
    const Vec<T> m = broadcast(row_max(in[0], n));
    const T sum = row_sum<T>(
        n, [&](int64_t i, int64_t count) { return first_lanes(exp(load_n(in[0] + i, count) - m), count, T(0)); });
    const Vec<T> log_sum = broadcast(log(sum));
    for_vectors(0, n, [&](int64_t i, auto lanes) { lanes.store(out + i, (lanes.load(in[0] + i) - m) - log_sum); });
  });
}

template <class T>
void log_softmax_backward(Stream, const T* dy, const T* y, T* dx, int64_t outer, int64_t n, int64_t inner) {
  for_rows<2>({dy, y}, dx, outer, n, inner, [n](const T* const(&in)[2], T* out) {
    const T sum = row_sum<T>(n, [&](int64_t i, int64_t count) { return load_n(in[0] + i, count); });
    const Vec<T> minus_sum = broadcast(-sum);
    for_vectors(0, n, [&](int64_t i, auto lanes) {
      lanes.store(out + i, fma(exp(lanes.load(in[1] + i)), minus_sum, lanes.load(in[0] + i)));
    });
  });
}

TAUT_INSTANTIATE_SOFTMAX(float)
TAUT_INSTANTIATE_SOFTMAX(double)

}  // namespace taut::TAUT_CPU
