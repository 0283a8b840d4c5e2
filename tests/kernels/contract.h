// The numeric contract in plain loops (docs/numerics.md), and what a kernel test needs to run both halves of the CPU
// backend on any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/runtime.h"

namespace taut::contract {

struct Threads {  // restores the number of threads
  int before = num_threads();
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
};

inline std::vector<Isa> isas() {
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return wide ? std::vector{Isa::kAvx2, Isa::kAvx512} : std::vector{Isa::kAvx2};
}

template <class T>
std::vector<T> random_normal(int64_t n, uint32_t seed, double deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  std::vector<T> x(static_cast<size_t>(n));
  for (T& v : x) v = static_cast<T>(normal(random));
  return x;
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Length of a block of k, at most 384 (or `most`): even blocks, rounded up to 16.
inline int64_t block_length(int64_t k, int64_t most = 384) {
  const int64_t blocks = std::max<int64_t>(1, (k + most - 1) / most);
  const double even = static_cast<double>(k) / static_cast<double>(blocks);
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(even / 16)) * 16, 16, most);
}

// Element of a product: sum of a(p) b(p), p < k; an FMA chain per block of k, block sums added in order.
template <class T, class A, class B>
T product(int64_t k, A&& a, B&& b, int64_t most = 384) {
  const int64_t length = block_length(k, most);
  T sum = 0;
  for (int64_t p0 = 0; p0 < k; p0 += length) {
    T chain = 0;
    for (int64_t p = p0; p < std::min(k, p0 + length); ++p) chain = std::fma(a(p), b(p), chain);
    sum = p0 == 0 ? chain : sum + chain;
  }
  return sum;
}

template <class T>
T fold64(T* partial) {
  for (int half = 32; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i) partial[i] += partial[i + half];
  return partial[0];
}

// Row sum of term(i), i < n.
template <class T, class Term>
T row_sum(int64_t n, Term&& term) {
  T partial[64] = {};
  for (int64_t i = 0; i < n; ++i) partial[i % 64] += term(i);
  return fold64(partial);
}

// Largest error over largest magnitude.
template <class T>
double relative_error(const std::vector<T>& got, const std::vector<double>& wanted) {
  double error = 0, size = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double e = std::fabs(static_cast<double>(got[i]) - wanted[i]);
    error = e > error || std::isnan(e) ? e : error;
    size = std::max(size, std::fabs(wanted[i]));
  }
  return size == 0 ? error : error / size;
}

}  // namespace taut::contract
