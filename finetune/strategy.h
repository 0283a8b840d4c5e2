// A fine-tuning strategy: a value that edits a model's tree. Exact placement, formulas, initialisation and counts:
// Houlsby et al. 2019 (adapter), Hu et al. 2021 (LoRA), Karimi Mahabadi et al. 2021 (Compacter), Liu et al. 2022
// ((IA)^3), Ben Zaken et al. 2022 (BitFit), each as AdapterHub's `adapters` library implements it for ViT.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/vit.h"
#include "nn/weights.h"

namespace taut::finetune {

// The released code of the study has behaviours that a reproduction must decide about: `official` copies those that
// change numbers, `fixed` repairs them (docs/study.md lists them).
enum class Mode { kFixed, kOfficial };

// Options of all strategies; a strategy reads those it knows. Zero means the strategy's default.
struct StrategyOptions {
  Mode mode = Mode::kFixed;
  int64_t rank = 8;        // lora
  double alpha = 8;        // lora: the update is scaled by alpha / rank
  int64_t reduction = 0;   // adapter (8) and compacter (32): bottleneck = dim / reduction
  int64_t bottleneck = 0;  // adapter and compacter: instead of reduction
  int64_t phm_n = 4;       // compacter
  int64_t phm_rank = 1;    // compacter
};

// How far a training step's backward pass goes: to the head, whose input never changes; through a backbone whose weight
// matrices are frozen; or to every weight.
enum class Reach { kHead, kFrozenBackbone, kBackbone };

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual const char* name() const = 0;
  // One sentence for listings.
  virtual const char* description() const = 0;
  // Edits the tree: adds what the strategy adds, drawn from `seed`, and freezes all but what it trains. Throws
  // Error(kUsage) saying why where the strategy has no meaning for this kind of model.
  virtual void apply(nn::Model& model, const StrategyOptions& options, uint64_t seed) const = 0;
  // True where `merge` gives an equal plain model (LoRA, (IA)^3); for strategies that add nothing the model is plain
  // already.
  virtual bool can_merge() const = 0;
  virtual Reach reach() const { return Reach::kFrozenBackbone; }
  // True where it adds layers to the tree.
  virtual bool adds_layers() const { return false; }
  // AdapterHub's names of the parameters it added to a ViT: entries like nn::name_map's.
  virtual std::vector<nn::NameEntry> added_names(const nn::VitConfig& config, const StrategyOptions& options) const = 0;
};

std::vector<std::string> strategy_names();
// Throws Error(kUsage) naming the nearest.
const Strategy& strategy(const std::string& name);

// Every parameter of a ViT with this strategy under AdapterHub's names: Hugging Face's for the base, the head as
// `heads.default.1`, and what the strategy added.
std::vector<nn::NameEntry> adapterhub_names(const nn::VitConfig& config, const Strategy& strategy,
                                            const StrategyOptions& options);

// A plain model with the same function: LoRA's W + s B A, (IA)^3's diag(l) W and l b. Parameters that did not change
// share memory; all are frozen. Throws Error(kUsage) for a model that holds a layer which cannot be merged.
std::shared_ptr<nn::Model> merge(const nn::Model& model);

// A model built anew (configuration, strategy, then every parameter and buffer, shared with `model`): nothing merged,
// all frozen, in evaluation mode. For re-judging.
std::shared_ptr<nn::Model> rebuild(const nn::Model& model, const Strategy& strategy, const StrategyOptions& options);

// What an evaluation runs: merged where the strategy can be, else rebuilt.
std::shared_ptr<nn::Model> evaluation_model(const nn::Model& model, const Strategy& strategy,
                                            const StrategyOptions& options);

}  // namespace taut::finetune
