// Winograd's F(4x4, 3x3) (Lavin and Gray, 2016; interpolation points 0, 1, -1, 2, -2, infinity), one dimension at a
// time over a value type V (16 lanes or a scalar): shared by all backends.
//
//   forward and input gradient   y  = At [(G g Gt) . (Bt d B)] A     d (6, 6), g (3, 3), y (4, 4)
//   weight gradient              dg = Gt [sum over tiles (Bt d B) . (A dy At)] G
//
// A matrix is transformed column by column, then the result row by row.
#pragma once

#include "kernels/math.h"

namespace taut::TAUT_MATH::winograd {

// v = Bt d
struct Image {
  static constexpr int kIn = 6, kOut = 6;
  template <class V>
  TAUT_INLINE static void apply(const V (&d)[6], V (&v)[6]) {
    const V four = constant<V>(4), minus_four = constant<V>(-4), minus_five = constant<V>(-5);
    const V a = fma(minus_four, d[2], d[4]), b = fma(minus_four, d[1], d[3]), c = d[4] - d[2], e = d[3] - d[1];
    v[0] = fma(four, d[0], fma(minus_five, d[2], d[4]));
    v[1] = a + b;
    v[2] = a - b;
    v[3] = fma(constant<V>(2), e, c);
    v[4] = fma(constant<V>(-2), e, c);
    v[5] = fma(four, d[1], fma(minus_five, d[3], d[5]));
  }
};

// u = G g
struct Weight {
  static constexpr int kIn = 3, kOut = 6;
  template <class V>
  TAUT_INLINE static void apply(const V (&g)[3], V (&u)[6]) {
    const V sixth = constant<V>(1.0 / 6), outer = g[0] + g[2];
    const V far = fma(constant<V>(0.25), g[0], g[2]), half = constant<V>(0.5) * g[1];
    u[0] = constant<V>(0.25) * g[0];
    u[1] = constant<V>(-1.0 / 6) * (outer + g[1]);
    u[2] = constant<V>(-1.0 / 6) * (outer - g[1]);
    u[3] = sixth * (far + half);
    u[4] = sixth * (far - half);
    u[5] = g[2];
  }
};

// y = At m
struct Output {
  static constexpr int kIn = 6, kOut = 4;
  template <class V>
  TAUT_INLINE static void apply(const V (&m)[6], V (&y)[4]) {
    const V near_sum = m[1] + m[2], near_gap = m[1] - m[2], far_sum = m[3] + m[4], far_gap = m[3] - m[4];
    y[0] = (m[0] + near_sum) + far_sum;
    y[1] = fma(constant<V>(2), far_gap, near_gap);
    y[2] = fma(constant<V>(4), far_sum, near_sum);
    y[3] = fma(constant<V>(8), far_gap, near_gap) + m[5];
  }
};

// v = A dy
struct OutputGradient {
  static constexpr int kIn = 4, kOut = 6;
  template <class V>
  TAUT_INLINE static void apply(const V (&y)[4], V (&v)[6]) {
    const V even = y[0] + y[2], odd = y[1] + y[3];
    const V far_even = fma(constant<V>(4), y[2], y[0]), far_odd = constant<V>(2) * fma(constant<V>(4), y[3], y[1]);
    v[0] = y[0];
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = far_even + far_odd;
    v[4] = far_even - far_odd;
    v[5] = y[3];
  }
};

// g = Gt m
struct WeightGradient {
  static constexpr int kIn = 6, kOut = 3;
  template <class V>
  TAUT_INLINE static void apply(const V (&m)[6], V (&g)[3]) {
    const V near_sum = m[1] + m[2], near_gap = m[2] - m[1], far_sum = m[3] + m[4], far_gap = m[3] - m[4];
    const V sixth = constant<V>(1.0 / 6);
    g[0] = fma(constant<V>(0.25), m[0], sixth * fma(constant<V>(0.25), far_sum, constant<V>(0) - near_sum));
    g[1] = sixth * fma(constant<V>(0.5), far_gap, near_gap);
    g[2] = fma(sixth, far_sum - near_sum, m[5]);
  }
};

// put(i, j, element) for the elements of the transform in both directions of the matrix of get(i, j).
template <class Transform, class V, class Get, class Put>
TAUT_INLINE void both_ways(Get&& get, Put&& put) {
  constexpr int kIn = Transform::kIn, kOut = Transform::kOut;
  V half[kOut][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    V column[kIn], result[kOut];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) column[i] = get(i, j);
    Transform::apply(column, result);
#pragma GCC unroll 6
    for (int i = 0; i < kOut; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kOut; ++i) {
    V result[kOut];
    Transform::apply(half[i], result);
#pragma GCC unroll 6
    for (int j = 0; j < kOut; ++j) put(i, j, result[j]);
  }
}

}  // namespace taut::TAUT_MATH::winograd
