// The dimensions of sum_to_shape (kernels/reduce.h) as groups, for every backend.
#pragma once

#include "kernels/reduce.h"

namespace taut::TAUT_MATH {

// A shape with neighbours of a kind merged and dimensions of size 1 dropped: kept and summed groups alternate.
struct SumGroups {
  int count = 0;
  int64_t size[SumShape::kMaxDims] = {};
  bool summed[SumShape::kMaxDims] = {};

  explicit SumGroups(const SumShape& shape) {
    for (int d = 0; d < shape.dims; ++d) {
      if (shape.size[d] == 1) continue;
      if (count > 0 && summed[count - 1] == shape.summed[d]) {
        size[count - 1] *= shape.size[d];
      } else {
        size[count] = shape.size[d];
        summed[count++] = shape.summed[d];
      }
    }
  }
  int64_t product(int begin, int end) const {
    int64_t n = 1;
    for (int g = begin; g < end; ++g) n *= size[g];
    return n;
  }
  int last_summed() const {
    int g = count - 1;
    while (g >= 0 && !summed[g]) --g;
    return g;
  }
  int summed_groups() const {
    int n = 0;
    for (int g = 0; g < count; ++g) n += summed[g] ? 1 : 0;
    return n;
  }
  void remove(int g) {
    const bool join = g > 0 && g + 1 < count;  // the kept groups on both sides become neighbours
    if (join) size[g - 1] *= size[g + 1];
    const int gone = join ? 2 : 1;
    for (int i = g; i + gone < count; ++i) {
      size[i] = size[i + gone];
      summed[i] = summed[i + gone];
    }
    count -= gone;
  }
};

}  // namespace taut::TAUT_MATH
