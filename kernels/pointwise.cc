#include "kernels/pointwise.h"

#include "kernels/loops.h"
#include "kernels/pointwise_ops.h"

namespace taut::TAUT_CPU {
namespace {

// ---- unary ----------------------------------------------------------------------------------------------------------

template <class Op, class T>
void run_forward(const T* x, T* y, int64_t n) {
  parallel_vectors(n, [&](int64_t i, auto lanes) { lanes.store(y + i, Op::forward(lanes.load(x + i))); });
}

template <class Op, class T>
void run_backward(const T* dy, const T* saved, T* dx, int64_t n) {
  parallel_vectors(
      n, [&](int64_t i, auto lanes) { lanes.store(dx + i, Op::backward(lanes.load(dy + i), lanes.load(saved + i))); });
}

// ---- binary, broadcast ----------------------------------------------------------------------------------------------

// The shape with dimensions of size 1 dropped and neighbours merged where both operands step evenly over them; at least
// one dimension, the last being the loop over vectors.
struct Rows {
  int64_t rows, cols;
  int dims = 0;
  int64_t size[BroadcastShape::kMaxDims] = {1};
  int64_t stride[2][BroadcastShape::kMaxDims] = {};

  explicit Rows(const BroadcastShape& shape) {
    for (int d = 0; d < shape.dims; ++d) {
      const int64_t n = shape.size[d], a = shape.stride_a[d], b = shape.stride_b[d];
      if (n == 1) continue;
      if (dims > 0 && stride[0][dims - 1] == a * n && stride[1][dims - 1] == b * n) {
        size[dims - 1] *= n;
      } else {
        size[dims++] = n;
      }
      stride[0][dims - 1] = a;
      stride[1][dims - 1] = b;
    }
    if (dims == 0) dims = 1;
    cols = size[dims - 1];
    rows = 1;
    for (int d = 0; d + 1 < dims; ++d) rows *= size[d];
  }

  int64_t offset(int operand, int64_t row) const {
    int64_t offset = 0;
    for (int d = dims - 2; d >= 0; --d) {
      offset += row % size[d] * stride[operand][d];
      row /= size[d];
    }
    return offset;
  }
  int64_t step(int operand) const { return stride[operand][dims - 1]; }

  // body(begin, end, row, col): elements [begin, end) of the result lie in one row and start at its column col.
  template <class Body>
  void for_rows(Body&& body) const {
    parallel_for(rows * cols, kGrain, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t row = begin / cols, col = begin - row * cols;
        const int64_t stop = begin + cols - col < end ? begin + cols - col : end;
        body(begin, stop, row, col);
        begin = stop;
      }
    });
  }
};

// Elements p[0], p[step], ... of an operand; step 1 and 0 are the fast ones.
template <class T, class Lanes>
TAUT_INLINE Vec<T> load_step(const T* p, int64_t step, Lanes lanes) {
  if (step == 1) return lanes.load(p);
  if (step == 0) return broadcast(*p);
  alignas(64) T gathered[kLanes] = {};
  for (int64_t i = 0; i < lanes.count; ++i) gathered[i] = p[i * step];
  return load(gathered);
}

template <class Op, class T>
void run_forward(const T* a, const T* b, T* y, const Rows& shape) {
  const int64_t step_a = shape.step(0), step_b = shape.step(1);
  shape.for_rows([&](int64_t begin, int64_t end, int64_t row, int64_t col) {
    const T* pa = a + shape.offset(0, row) + col * step_a;
    const T* pb = b + shape.offset(1, row) + col * step_b;
    for_vectors(0, end - begin, [&](int64_t i, auto lanes) {
      lanes.store(y + begin + i,
                  Op::forward(load_step(pa + i * step_a, step_a, lanes), load_step(pb + i * step_b, step_b, lanes)));
    });
  });
}

template <class Op, Reads reads, class T>
void run_backward(const T* dy, const T* a, const T* b, T* da, T* db, const Rows& shape) {
  const int64_t step_a = shape.step(0), step_b = shape.step(1);
  shape.for_rows([&](int64_t begin, int64_t end, int64_t row, int64_t col) {
    const int64_t at_a = shape.offset(0, row) + col * step_a, at_b = shape.offset(1, row) + col * step_b;
    for_vectors(0, end - begin, [&](int64_t i, auto lanes) {
      const Vec<T> g = lanes.load(dy + begin + i);
      Vec<T> va = g, vb = g;  // what an operator that reads nothing gets does not matter
      if constexpr (reads == Reads::kInputs) {
        if (a != nullptr) va = load_step(a + at_a + i * step_a, step_a, lanes);
        if (b != nullptr) vb = load_step(b + at_b + i * step_b, step_b, lanes);
      }
      if (da != nullptr) lanes.store(da + begin + i, Op::backward_a(g, va, vb));
      if (db != nullptr) lanes.store(db + begin + i, Op::backward_b(g, va, vb));
    });
  });
}

}  // namespace

template <class T>
void unary_forward(Stream, Unary op, const T* x, T* y, int64_t n) {
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Unary::k##functor: return run_forward<functor>(x, y, n);
    TAUT_UNARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void unary_backward(Stream, Unary op, const T* dy, const T* x, const T* y, T* dx, int64_t n) {
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Unary::k##functor: return run_backward<functor>(dy, (reads) == Reads::kOutput ? y : x, dx, n);
    TAUT_UNARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void binary_forward(Stream, Binary op, const T* a, const T* b, T* y, const BroadcastShape& shape) {
  const Rows rows(shape);
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Binary::k##functor: return run_forward<functor>(a, b, y, rows);
    TAUT_BINARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void binary_backward(Stream, Binary op, const T* dy, const T* a, const T* b, T* da, T* db,
                     const BroadcastShape& shape) {
  const Rows rows(shape);
  switch (op) {
#define TAUT_CASE(functor, name, reads) \
  case Binary::k##functor: return run_backward<functor, reads>(dy, a, b, da, db, rows);
    TAUT_BINARY_OPS(TAUT_CASE)
#undef TAUT_CASE
  }
}

template <class T>
void bias_gelu_forward(Stream, const T* x, const T* bias, T* y, T* pre, int64_t rows, int64_t cols) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for_vectors(0, cols, [&](int64_t j, auto lanes) {
        const int64_t i = row * cols + j;
        const Vec<T> s = lanes.load(x + i) + lanes.load(bias + j);
        if (pre != nullptr) lanes.store(pre + i, s);
        lanes.store(y + i, gelu_erf(s));
      });
    }
  });
}

template <class T>
void bias_gelu_backward(Stream stream, const T* dy, const T* x, const T* bias, T* dx, T* dbias, int64_t rows,
                        int64_t cols) {
  const auto gradient = [&](int64_t row, int64_t j, auto lanes) {
    const int64_t i = row * cols + j;
    Vec<T> s = lanes.load(x + i);
    if (bias != nullptr) s = s + lanes.load(bias + j);
    const Vec<T> g = lanes.load(dy + i) * gelu_erf_derivative(s);
    lanes.store(dx + i, g);
    return g;
  };
  if (dbias == nullptr) {
    if (bias == nullptr) return unary_backward(stream, Unary::kGeluErf, dy, x, x, dx, rows * cols);
    parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        for_vectors(0, cols, [&](int64_t j, auto lanes) { gradient(row, j, lanes); });
      }
    });
    return;
  }
  column_sums<T, 1>({dbias}, rows, cols,
                    [&](int64_t row, int64_t j, auto lanes, Vec<T>(&t)[1]) { t[0] = gradient(row, j, lanes); });
}

template <class T>
void scale(Stream, Real<T> s, const T* x, T* y, int64_t n) {
  const Vec<T> factor = broadcast(s);
  parallel_vectors(n, [&](int64_t i, auto lanes) { lanes.store(y + i, factor * lanes.load(x + i)); });
}

template <class T>
void axpy(Stream, Real<T> s, const T* x, T* y, int64_t n) {
  const Vec<T> factor = broadcast(s);
  parallel_vectors(
      n, [&](int64_t i, auto lanes) { lanes.store(y + i, fma(factor, lanes.load(x + i), lanes.load(y + i))); });
}

TAUT_INSTANTIATE_POINTWISE(float)
TAUT_INSTANTIATE_POINTWISE(double)

}  // namespace taut::TAUT_CPU
