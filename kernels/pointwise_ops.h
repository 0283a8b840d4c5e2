// The functors behind the operators of kernels/pointwise.h, over a value type V (16 lanes or a scalar): shared by all
// backends.
//
// A unary functor has forward(x) and backward(dy, v), v the output or the input as the list in pointwise.h says. A
// binary one has forward(a, b), backward_a(dy, a, b), backward_b(dy, a, b).
#pragma once

#include "kernels/math.h"
#include "kernels/pointwise.h"

namespace taut::TAUT_MATH {

struct Exp {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return exp(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V y) {
    return dy * y;
  }
};
struct Log {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return log(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V x) {
    return dy / x;
  }
};
struct Sqrt {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return sqrt(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V y) {
    return dy / (y + y);
  }
};
struct Square {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return x * x;
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V x) {
    return dy * (x + x);
  }
};
struct Tanh {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return tanh(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V y) {
    return dy * fma(constant<V>(0) - y, y, constant<V>(1));
  }
};
struct Sigmoid {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return sigmoid(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V y) {
    return dy * (y * (constant<V>(1) - y));
  }
};
struct Relu {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return max(constant<V>(0), x);  // this order lets NaN through
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V y) {
    return select(less(constant<V>(0), y), dy, constant<V>(0));
  }
};
struct GeluErf {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return gelu_erf(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V x) {
    return dy * gelu_erf_derivative(x);
  }
};
struct GeluTanh {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return gelu_tanh(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V x) {
    return dy * gelu_tanh_derivative(x);
  }
};
struct Silu {
  template <class V>
  TAUT_INLINE static V forward(V x) {
    return silu(x);
  }
  template <class V>
  TAUT_INLINE static V backward(V dy, V x) {
    return dy * silu_derivative(x);
  }
};

struct Add {
  template <class V>
  TAUT_INLINE static V forward(V a, V b) {
    return a + b;
  }
  template <class V>
  TAUT_INLINE static V backward_a(V dy, V, V) {
    return dy;
  }
  template <class V>
  TAUT_INLINE static V backward_b(V dy, V, V) {
    return dy;
  }
};
struct Sub {
  template <class V>
  TAUT_INLINE static V forward(V a, V b) {
    return a - b;
  }
  template <class V>
  TAUT_INLINE static V backward_a(V dy, V, V) {
    return dy;
  }
  template <class V>
  TAUT_INLINE static V backward_b(V dy, V, V) {
    return constant<V>(0) - dy;
  }
};
struct Mul {
  template <class V>
  TAUT_INLINE static V forward(V a, V b) {
    return a * b;
  }
  template <class V>
  TAUT_INLINE static V backward_a(V dy, V, V b) {
    return dy * b;
  }
  template <class V>
  TAUT_INLINE static V backward_b(V dy, V a, V) {
    return dy * a;
  }
};
struct Div {
  template <class V>
  TAUT_INLINE static V forward(V a, V b) {
    return a / b;
  }
  template <class V>
  TAUT_INLINE static V backward_a(V dy, V, V b) {
    return dy / b;
  }
  template <class V>
  TAUT_INLINE static V backward_b(V dy, V a, V b) {
    return constant<V>(0) - dy / b * (a / b);
  }
};

}  // namespace taut::TAUT_MATH
