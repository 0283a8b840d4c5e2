// What `taut models show` prints of a model's layers: flat rows, and a tree with subtotals.
#pragma once

#include <string>
#include <vector>

#include "nn/model.h"
#include "study/output.h"

namespace taut::study {

// A layer that has parameters or costs something.
struct ModelLayer {
  std::string path;     // "layer1.0.conv1"
  std::string tensors;  // "weight (64, 64, 3, 3)*", * trains; "no parameters"
  int64_t trainable = 0, parameters = 0;
  std::string output;  // "(56, 56, 64)" of one image; empty where no FLOPs are counted
  double flops = 0;    // of the forward pass of one image
};

// In the tree's order; layers without parameters where the forward pass meets them.
std::vector<ModelLayer> layers_of(const nn::Model& net);
// A row each.
std::vector<Row> layer_rows(const std::vector<ModelLayer>& layers);
// A row for each module of the tree, `name` being the root: trained and all parameters and FLOPs are sums over
// everything below it, and * stands behind what trains, wholly or partly.
std::vector<Row> tree_rows(const std::string& name, const std::vector<ModelLayer>& layers);

}  // namespace taut::study
