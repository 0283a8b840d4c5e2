// The op case: one object per op and shape that is its test, its gradient check and its benchmark.
//
// To add an op to a family, add a case to tests/ops/FAMILY.cc: what the inputs are, how to run it, the formula as a
// plain loop. The rest is derived (tests/cases/check_case.cc): f64 and f32 against the formula, gradients against the
// formula's own and against central differences, every `needs` mask, equality of bytes over runs, threads, instruction
// sets and misaligned memory, nothing written outside outputs, nothing read that nobody wrote, NaN and infinity in
// their places.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/var.h"
#include "kernels/error.h"
#include "tests/cases/scalar.h"

namespace taut::cases {

// A dense tensor of scalars in host memory.
template <class T>
struct Array {
  Array() = default;
  explicit Array(Shape s) : shape(std::move(s)), values(static_cast<size_t>(taut::numel(shape))) {}
  T& operator[](int64_t i) { return values[static_cast<size_t>(i)]; }
  const T& operator[](int64_t i) const { return values[static_cast<size_t>(i)]; }
  int64_t size(int64_t dim) const { return shape[static_cast<size_t>(dim < 0 ? dim + std::ssize(shape) : dim)]; }
  int64_t numel() const { return std::ssize(values); }

  Shape shape;
  std::vector<T> values;
};
template <class T>
using Arrays = std::vector<Array<T>>;

// The formula, a generic lambda `[=]<class T>(const Arrays<T>& in) -> Arrays<T>` in plain loops; it must share nothing
// with the op. Integer inputs arrive as scalars too: index_of(in[1][i]).
struct Oracle {
  Oracle() = default;
  template <class Formula>
  Oracle(Formula f)
      : f32([f](const Arrays<float>& in) { return f(in); }),
        f64([f](const Arrays<double>& in) { return f(in); }),
        taped32([f](const Arrays<Taped<float>>& in) { return f(in); }),
        taped64([f](const Arrays<Taped<double>>& in) { return f(in); }) {}

  std::function<Arrays<float>(const Arrays<float>&)> f32 = {};
  std::function<Arrays<double>(const Arrays<double>&)> f64 = {};
  std::function<Arrays<Taped<float>>(const Arrays<Taped<float>>&)> taped32 = {};
  std::function<Arrays<Taped<double>>(const Arrays<Taped<double>>&)> taped64 = {};
};

// The formula's gradients as plain loops, for a shape of which the tape would be too long: a generic lambda
// `[=]<class T>(const Arrays<T>& in, const Arrays<T>& dy) -> Arrays<T>`, one for each input.
struct GradientOracle {
  GradientOracle() = default;
  template <class Formula>
  GradientOracle(Formula f)
      : f32([f](const Arrays<float>& in, const Arrays<float>& dy) { return f(in, dy); }),
        f64([f](const Arrays<double>& in, const Arrays<double>& dy) { return f(in, dy); }) {}

  std::function<Arrays<float>(const Arrays<float>&, const Arrays<float>&)> f32 = {};
  std::function<Arrays<double>(const Arrays<double>&, const Arrays<double>&)> f64 = {};
};

struct Input {
  Shape shape = {};
  double low = -1, high = 1;  // uniform values, f32 numbers in f64 too
  double away = 0;            // from zero by at least this: keeps off a kink or a pole
  bool differentiable = true;
  int64_t classes = 0;              // > 0: i64 labels in [0, classes) instead
  std::vector<double> values = {};  // these values instead
};

// Which non-finite values must come out where the formula has them.
enum class Specials { kAll, kNan, kNone };

struct OpCase {
  std::string op = {};
  std::string name = {};
  std::vector<Input> inputs = {};
  std::function<std::vector<Var>(const std::vector<Var>&)> run = {};
  Oracle oracle = {};
  GradientOracle gradient_oracle = {};  // where there is one, the tape is not asked
  bool exact = false;                   // small-integer inputs must give the formula's very values, gradients included
  bool smooth = true;                   // false: rounds, so that central differences say nothing
  bool winograd = false;                // computed by Winograd's algorithm in f32: its line of the error budget
  bool bf16 = false;                    // has kernels that store bf16
  bool stores_between = false;          // and what they store on the way is rounded: whole numbers are not exact
  bool tf32 = false;                    // runs with Precision::kTF32: in f32 it is judged as that
  bool zeros = false;                   // an output or a gradient may be zero everywhere
  Specials specials = Specials::kAll;
  double flops = 0;  // of a forward pass, for the benchmark
};

// A call that must be refused with a message that contains `message`.
struct RejectCase {
  std::string op, name;
  std::function<void()> call;
  std::string message;
  Exit code = Exit::kUsage;
};

struct CaseList {
  std::vector<OpCase> cases;
  std::vector<RejectCase> rejects;
  void add(OpCase c) { cases.push_back(std::move(c)); }
  void reject(std::string op, std::string name, std::function<void()> call, std::string message,
              Exit code = Exit::kUsage) {
    rejects.push_back({std::move(op), std::move(name), std::move(call), std::move(message), code});
  }
};

// The families of tests/ops/, in order.
CaseList all_op_cases();

// The inputs of a case as tensors: floating ones in `dtype`, a pure function of op and name. With `integers`, floating
// values are whole numbers in [-4, 4] (never 0 where the case keeps away from it).
std::vector<Tensor> make_inputs(const OpCase& c, DType dtype, Device device, bool integers = false);
// An upstream gradient for an output, in the same spirit.
Tensor make_upstream(const OpCase& c, size_t output, const Tensor& like, bool integers = false);

// "2x3x5" for case names.
std::string shape_name(const Shape& shape);

}  // namespace taut::cases
