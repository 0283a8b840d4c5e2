// Running an oracle: values in one kind of scalar, and the gradients of the formula.
#pragma once

#include <vector>

#include "tests/cases/op_case.h"

namespace taut::cases {

using Values = std::vector<std::vector<double>>;  // [tensor][element]

template <class T>
Arrays<T> to_arrays(const std::vector<Tensor>& inputs) {
  Arrays<T> arrays;
  for (const Tensor& t : inputs) {
    Array<T> a(t.shape());
    const std::vector<double> values = t.to_doubles();
    for (size_t i = 0; i < values.size(); ++i) a.values[i] = static_cast<T>(values[i]);
    arrays.push_back(std::move(a));
  }
  return arrays;
}

template <class T>
Values to_values(const Arrays<T>& arrays) {
  Values values;
  for (const Array<T>& a : arrays) values.emplace_back(a.values.begin(), a.values.end());
  return values;
}

// Gradients of sum <output, dy> in precision T; empty for inputs that `mask` does not mark.
template <class T>
Values taped_gradients(const std::function<Arrays<Taped<T>>(const Arrays<Taped<T>>&)>& oracle,
                       const std::vector<Tensor>& inputs, const Grads& dy, const std::vector<bool>& mask) {
  Tape<T> tape;
  Arrays<Taped<T>> in;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Array<Taped<T>> a(inputs[i].shape());
    const std::vector<double> values = inputs[i].to_doubles();
    for (size_t j = 0; j < values.size(); ++j)
      a.values[j] = mask[i] ? Taped<T>::variable(static_cast<T>(values[j])) : Taped<T>(values[j]);
    in.push_back(std::move(a));
  }
  const Arrays<Taped<T>> out = oracle(in);
  std::vector<uint32_t> ids;
  std::vector<T> seeds;
  for (size_t o = 0; o < out.size(); ++o) {
    const std::vector<double> v = dy[o].to_doubles();
    for (size_t j = 0; j < v.size(); ++j) {
      if (out[o].values[j].id() == 0) continue;
      ids.push_back(out[o].values[j].id());
      seeds.push_back(static_cast<T>(v[j]));
    }
  }
  const std::vector<T> adjoint = tape.backward(ids, seeds);
  Values gradients(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (mask[i])
      for (const Taped<T>& x : in[i].values) gradients[i].push_back(static_cast<double>(adjoint[x.id()]));
  return gradients;
}

// Gradients of sum <output, dy> in precision T by the case's own formula, or by the tape; empty for inputs that `mask`
// does not mark.
template <class T>
Values oracle_gradients(const OpCase& c, const std::vector<Tensor>& inputs, const Grads& dy,
                        const std::vector<bool>& mask) {
  constexpr bool kDouble = sizeof(T) == sizeof(double);
  const auto& formula = [&]() -> const auto& {
    if constexpr (kDouble)
      return c.gradient_oracle.f64;
    else
      return c.gradient_oracle.f32;
  }
  ();
  if (formula == nullptr) {
    if constexpr (kDouble)
      return taped_gradients<T>(c.oracle.taped64, inputs, dy, mask);
    else
      return taped_gradients<T>(c.oracle.taped32, inputs, dy, mask);
  }
  Values gradients = to_values(formula(to_arrays<T>(inputs), to_arrays<T>(dy)));
  for (size_t i = 0; i < mask.size(); ++i)
    if (!mask[i]) gradients[i].clear();
  return gradients;
}

}  // namespace taut::cases
