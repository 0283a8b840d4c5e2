// What an attack ascends, one number an image.
//
//   cross-entropy        log sum_j exp(z_j) - z_y
//   margin               max_{j != y} z_j - z_y     (Carlini and Wagner, 2017, f_6; Madry et al., 2018)
//   margin to a target   z_t - z_y                  (Gowal et al., 2019, "An Alternative Surrogate Loss ...")
#pragma once

#include <functional>
#include <string>

#include "attacks/attack.h"

namespace taut::attacks {

// `value` is a part of a step that a GPU replays (kernels/graph.h): it may not look at numbers on the host. What the
// host knows of a batch's labels is in the table, made before the steps; null: there is none.
struct Objective {
  std::string name;
  std::function<Tensor(const Tensor& labels, int64_t classes)> table;  // labels (b) in host memory -> (b, classes) f64
  // logits (b, classes), labels (b), the table as the logits are stored, or none -> (b)
  std::function<Var(const Var& logits, const Tensor& labels, const Tensor& table)> value;
};

Objective objective_of(Loss loss);
// targets (b): a class for each image; `table` throws Error(kUsage) unless there is one.
Objective margin_to(std::vector<int64_t> targets);

// For each image all classes but its label, those of the largest logits first; ties go to the smaller class.
std::vector<std::vector<int64_t>> rivals(const Tensor& logits, const Tensor& labels);

}  // namespace taut::attacks
