// Scalars in which an oracle is written once: float (the plain loop of the tolerance policy), double (the oracle), and
// Taped<float>, Taped<double>, which remember how they were computed, so that the same formula also gives the plain
// gradient and the oracle of the gradient, without a line of code shared with the engine.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/error.h"

namespace taut::cases {

// y depends on a and b (entry 0: on nothing) with the derivatives da and db.
template <class T>
struct TapeEntry {
  uint32_t a = 0, b = 0;
  T da = 0, db = 0;
};

template <class T>
class Tape {
 public:
  // Beyond this the case is too large for a gradient oracle: take a smaller shape.
  static constexpr size_t kMaxEntries = 16'000'000;

  Tape() : before_(current) { current = this; }
  ~Tape() { current = before_; }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  uint32_t push(uint32_t a, T da, uint32_t b, T db) {
    TAUT_CHECK(entries_.size() < kMaxEntries, "[tape] expected an oracle of at most {} steps; hint: a smaller shape",
               kMaxEntries);
    entries_.push_back({a, b, da, db});
    return static_cast<uint32_t>(entries_.size() - 1);
  }
  // Adds seed[i] to the adjoint of entry ids[i], goes back and returns the adjoint of every entry.
  std::vector<T> backward(const std::vector<uint32_t>& ids, const std::vector<T>& seeds) const {
    std::vector<T> adjoint(entries_.size(), T(0));
    for (size_t i = 0; i < ids.size(); ++i) adjoint[ids[i]] += seeds[i];
    for (size_t i = entries_.size(); i-- > 1;) {
      adjoint[entries_[i].a] += entries_[i].da * adjoint[i];
      adjoint[entries_[i].b] += entries_[i].db * adjoint[i];
    }
    return adjoint;
  }

  static inline thread_local Tape* current = nullptr;

 private:
  Tape* before_;
  std::vector<TapeEntry<T>> entries_{1};
};

template <class T>
class Taped {
 public:
  Taped(double value = 0) : value_(static_cast<T>(value)) {}  // a constant
  static Taped variable(T value) { return {value, Tape<T>::current->push(0, 0, 0, 0)}; }

  T value() const { return value_; }
  uint32_t id() const { return id_; }

  friend Taped operator+(Taped a, Taped b) { return join(a.value_ + b.value_, a, 1, b, 1); }
  friend Taped operator-(Taped a, Taped b) { return join(a.value_ - b.value_, a, 1, b, -1); }
  friend Taped operator*(Taped a, Taped b) { return join(a.value_ * b.value_, a, b.value_, b, a.value_); }
  friend Taped operator/(Taped a, Taped b) {
    const T y = a.value_ / b.value_;
    return join(y, a, 1 / b.value_, b, -y / b.value_);
  }
  friend Taped operator-(Taped a) { return join(-a.value_, a, -1, {}, 0); }
  Taped& operator+=(Taped b) { return *this = *this + b; }
  Taped& operator-=(Taped b) { return *this = *this - b; }
  Taped& operator*=(Taped b) { return *this = *this * b; }
  Taped& operator/=(Taped b) { return *this = *this / b; }
  friend bool operator<(Taped a, Taped b) { return a.value_ < b.value_; }
  friend bool operator>(Taped a, Taped b) { return a.value_ > b.value_; }
  friend bool operator==(Taped a, Taped b) { return a.value_ == b.value_; }
  friend bool operator!=(Taped a, Taped b) { return a.value_ != b.value_; }

  friend Taped exp(Taped x) {
    const T y = std::exp(x.value_);
    return join(y, x, y, {}, 0);
  }
  friend Taped log(Taped x) { return join(std::log(x.value_), x, 1 / x.value_, {}, 0); }
  friend Taped sqrt(Taped x) {
    const T y = std::sqrt(x.value_);
    return join(y, x, 1 / (2 * y), {}, 0);
  }
  friend Taped tanh(Taped x) {
    const T y = std::tanh(x.value_);
    return join(y, x, 1 - y * y, {}, 0);
  }
  friend Taped erf(Taped x) {
    const T slope = static_cast<T>(2 / std::sqrt(M_PI)) * std::exp(-x.value_ * x.value_);
    return join(std::erf(x.value_), x, slope, {}, 0);
  }
  friend Taped abs(Taped x) { return x.value_ < 0 ? -x : x; }

 private:
  Taped(T value, uint32_t id) : value_(value), id_(id) {}
  static Taped join(T y, Taped a, T da, Taped b, T db) {
    if (a.id_ == 0 && b.id_ == 0) return {y, 0};
    return {y, Tape<T>::current->push(a.id_, da, b.id_, db)};
  }

  T value_;
  uint32_t id_ = 0;
};

// The same names for plain scalars, in the scalar's own precision.
inline float exp(float x) { return std::exp(x); }
inline double exp(double x) { return std::exp(x); }
inline float log(float x) { return std::log(x); }
inline double log(double x) { return std::log(x); }
inline float sqrt(float x) { return std::sqrt(x); }
inline double sqrt(double x) { return std::sqrt(x); }
inline float tanh(float x) { return std::tanh(x); }
inline double tanh(double x) { return std::tanh(x); }
inline float erf(float x) { return std::erf(x); }
inline double erf(double x) { return std::erf(x); }
inline float abs(float x) { return std::abs(x); }
inline double abs(double x) { return std::abs(x); }

inline double value_of(double x) { return x; }
template <class T>
double value_of(const Taped<T>& x) {
  return x.value();
}
template <class T>
int64_t index_of(const T& x) {
  return static_cast<int64_t>(value_of(x));
}
// The greater one; NaN if either is.
template <class T>
T larger(T a, T b) {
  return a != a || a > b ? a : b;
}
template <class T>
T clamp(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;
}

}  // namespace taut::cases
