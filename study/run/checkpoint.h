// Checkpoints: ckpt/step-XXXXXXXX/ with tensors, a state and a manifest of SHA-256 sums, renamed into place last.
//
// A checkpoint is believed if its manifest lists exactly its files and every sum holds. Which ones remain depends on
// steps alone: the newest `keep` of the planned steps; one written because of a signal goes as soon as a planned one
// follows.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study/run/directory.h"
#include "tensor/tensor.h"

namespace taut::study {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

struct Checkpoint {
  int64_t step = 0;
  std::string folder;                                            // where it was read from
  Json state;                                                    // state.json
  std::map<std::string, std::map<std::string, Tensor>> tensors;  // "model" -> name -> tensor, from model.safetensors
};

// `files`: "model" -> tensors, written as model.safetensors. A checkpoint of the same step is replaced. Throws
// Error(kIo) where it cannot be written; the older checkpoints are untouched then and nothing partial is left.
void write_checkpoint(const std::string& run_folder, int64_t step, const Json& state,
                      const std::map<std::string, NamedTensors>& files);

// The newest checkpoint that can be believed; `warn` hears of each that cannot, by name. `check`: what else is asked of
// one; it throws an Error where the checkpoint must not be taken.
std::optional<Checkpoint> read_last_checkpoint(const std::string& run_folder,
                                               const std::function<void(const std::string&)>& warn,
                                               const std::function<void(const Checkpoint&)>& check = {});

// The checkpoint of one step. Throws Error(kMissing) where there is none, Error(kBadData) naming the file where it
// cannot be believed.
Checkpoint read_checkpoint(const std::string& run_folder, int64_t step);
bool has_checkpoint(const std::string& run_folder, int64_t step);

// Removes all but the newest `keep` for which `planned` holds, and the others older than the newest planned one.
void prune_checkpoints(const std::string& run_folder, int64_t keep, const std::function<bool(int64_t)>& planned);

// Removes the checkpoint of one step.
void discard_checkpoint(const std::string& run_folder, int64_t step);

std::string checkpoint_name(int64_t step);  // "step-00000120"

}  // namespace taut::study
