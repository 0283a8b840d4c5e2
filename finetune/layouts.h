// What readers and writers of other libraries' deltas share: configurations as JSON, and weights that updates are
// folded into.
#pragma once

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "finetune/foreign.h"
#include "tensor/tensor_file.h"

namespace taut::finetune {

using Json = nlohmann::json;

// A JSON object of at most a megabyte; Error(kMissing), Error(kBadData).
Json read_config(const std::string& path);
// What an update may do to a linear layer or a convolution; undefined: not that. A (r, in), B (out, r), l (out, 1) or
// (1, in); A (r, in, k, k), B (out, r, 1, 1), l (1, out, 1, 1) or (1, in, 1, 1).
struct Update {
  Tensor a, b, b_bias, magnitude, l;
  bool of_input = false;  // l of a convolution scales what enters it
  double scale = 1;
};

// The parameters of a plain ViT under Hugging Face's names, with or without `vit.`, or timm's, or of a plain
// convolutional net under any names that its files have. Changes are made to copies, and take effect when all is read.
class Edits {
 public:
  Edits(nn::Model& model, std::string file);

  // A tensor of the file in the model's type.
  Tensor read(const TensorFile& file, const std::string& stored) const;
  const nn::NameEntry* find(const std::string& name) const;  // nullptr: the model has no such parameter
  void set(const std::string& name, const Tensor& value);
  // Folds an update into the weight and bias of a linear layer or a convolution. Throws Error(kBadData) naming the
  // module.
  void fold(const std::string& module, const Update& update);
  void commit();
  const std::string& file() const { return file_; }
  const nn::NameEntry& expect(const std::string& name) const;  // Error(kBadData): the model has no such parameter

 private:
  Tensor rows(const nn::NameEntry& e);  // of the copy

  nn::Model& model_;
  std::string file_;
  std::vector<nn::NameEntry> entries_;
  std::unordered_map<std::string, size_t> index_;  // of `entries_`, by every spelling
  std::map<std::string, Tensor> copies_;
};

// The keys of a configuration that a reader understands. All others must be inactive: null, false, 0, empty.
class ConfigKeys {
 public:
  ConfigKeys(const Json& config, std::string file) : config_(config), file_(std::move(file)) {}
  // Keys that do not change the function.
  void ignore(const std::vector<const char*>& keys);
  // A key that may only have this value (or be absent).
  void expect(const char* key, const Json& value);
  // The value of a key, `otherwise` where it is absent or null; throws Error(kBadData) for another type.
  template <class T>
  T get(const char* key, T otherwise) {
    known_.push_back(key);
    const auto it = config_.find(key);
    if (it == config_.end() || it->is_null()) return otherwise;
    if (!fits<T>(*it)) wrong(key, "a whole number of 64 bits");
    try {
      return it->get<T>();
    } catch (const Json::exception&) {
      wrong(key, "another type");
    }
  }
  // Throws Error(kBadData) naming an active key that no call above knew.
  void finish() const;

 private:
  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;
  // The library would cut or wrap a number to make it whole.
  template <class T>
  static bool fits(const Json& value) {
    if constexpr (std::is_same_v<T, int64_t>)
      return !value.is_number() || (value.is_number_integer() &&
                                    (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t{INT64_MAX}));
    if constexpr (std::is_same_v<T, std::vector<int64_t>>)
      return !value.is_array() || std::all_of(value.begin(), value.end(), fits<int64_t>);
    return true;
  }

  const Json& config_;
  std::string file_;
  std::vector<std::string> known_;
};

// The first of `names` that is in the folder; Error(kMissing) naming the folder where none is.
std::string file_in(const std::string& folder, const std::vector<const char*>& names);

void make_folder(const std::string& folder);  // Error(kIo)

ForeignDelta load_peft(const std::string& folder, const Json& config, nn::Model& model);
ForeignDelta load_adapterhub(const std::string& folder, nn::Vit& vit);
bool is_peft_config(const Json& config);

// A delta of ours, opened for writing it elsewhere.
struct OwnDelta {
  std::string file, strategy;
  bool is_vit;
  int64_t rank, classes, width, phm_n, phm_rank;
  double alpha;
  std::map<std::string, Tensor> tensors;  // a ViT's under AdapterHub's names
};
// v5: a ViT's modules as in nn/file_names.h's spelling hf_v5.
void write_peft(const OwnDelta& delta, const std::string& folder, bool v5);
void write_adapterhub(const OwnDelta& delta, const std::string& folder);

}  // namespace taut::finetune
