// Loading and saving weights of a model, strictly, under the names other libraries use.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nn/vit.h"

namespace taut::nn {

// How a tensor of a file relates to a parameter of the model: it is the rows [row, row + rows) of it, in the shape the
// other library gives it. A fused qkv weight is one entry under timm's names and three under Hugging Face's.
struct NameEntry {
  std::string external;
  std::string path;
  Shape shape;                      // as the file has it
  int64_t row = 0, rows = 0;        // rows = 0: the whole parameter
  std::vector<int64_t> order = {};  // of the file's dimensions, before they are reshaped to the rows; empty: as it is
};

// A file's tensor as the rows it is of a parameter of shape `whole`, and back. Both may be views.
Tensor rows_of_file(const NameEntry& e, const Tensor& in_file, const Shape& whole);
Tensor file_of_rows(const NameEntry& e, const Tensor& parameter);

// Throws Error(kBadData) naming file, tensor and element where `path` is a batch norm's running variance and `values`,
// read for it, has a number below 0.
void check_variance(const std::string& path, const Tensor& values, const std::string& file, const std::string& tensor);

// kGoogle: the arrays of the ViT paper's and of big_vision's .npz files: kernels transposed, heads apart. kTorchvision
// stands for the own names of any convolutional net (nn/resnet.h, nn/small_nets.h), torchvision's or not.
enum class NameStyle { kTimm, kHf, kGoogle, kTorchvision };
// Every parameter of a (plain) ViT under the given style, in the model's order.
std::vector<NameEntry> name_map(const VitConfig& config, NameStyle style);
// Every parameter and buffer of a plain convolutional net, in the model's order.
std::vector<NameEntry> name_map(const Model& net);

struct LoadOptions {
  std::vector<std::string> allow_missing;  // regular expressions over external names
  std::vector<std::string> allow_unexpected;
  bool new_head = false;  // a head of another size (or none) is left as it is instead of refused
};
struct LoadReport {
  NameStyle style;
  std::vector<std::string> missing, unexpected;  // the allowed ones
  bool head_loaded = true;
  bool head_in_file = true;  // whole, of whatever size
  bool positions_interpolated = false;
  std::string sha256;  // of the file
};

// Loads a file of weights (tensor/weights_file.h) whatever names it uses (nn/file_names.h). The position embedding is
// interpolated where the grid differs. A layer between backbone and head (pooler, pre_logits) is passed over where it
// does not enter the function: under a new head, or in a file that has no head. So is `num_batches_tracked`. Throws
// Error(kMissing) if the file is absent, Error(kBadData) listing by name every missing, unexpected or mis-shaped
// tensor, as the file names it, that no option allows; the model is unchanged then.
LoadReport load_weights(Model& model, const std::string& file, const LoadOptions& options = {});

// Bicubic interpolation of a position embedding (1, prefix + h w, d) to another grid as timm does it: Keys a = -0.5,
// antialiased also when enlarging, half-pixel centres; the prefix tokens are kept.
Tensor interpolate_positions(const Tensor& positions, int64_t prefix, int64_t from_h, int64_t from_w, int64_t to_h,
                             int64_t to_w);

// Parameters and buffers as {path, tensor}, for checkpoints; and back (same names, shapes and dtypes, else
// Error(kBadData)).
std::vector<std::pair<std::string, Tensor>> state_of(const Module& module);
void load_state(Module& module, const std::map<std::string, Tensor>& state, const std::string& file);

}  // namespace taut::nn
