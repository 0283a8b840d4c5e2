// The training loop's step and its state: forward, cross-entropy, backward, clip, AdamW.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "finetune/strategy.h"
#include "kernels/graph.h"
#include "nn/optimizer.h"

namespace taut::finetune {

struct TrainOptions {
  double lr = 5e-3;
  double weight_decay = 0.01;
  double clip = 1.0;  // global norm; 0: no clipping
  double label_smoothing = 0;
  Mode mode = Mode::kFixed;
  nn::Schedule schedule;
};

struct StepResult {
  double loss = 0;
  double lr = 0;
  double gradient_norm = 0;  // before clipping
};

// Which parameters AdamW decays: all but norms and biases. Mode `official` copies the released code, whose rule goes by
// the name: Compacter's bias is called `b` and decays, and (IA)^3's vectors decay towards 0 although 1 is their neutral
// value.
bool decays(const std::string& path, Mode mode);

// Batch norms: where more than the head trains, a step uses the statistics of its batch and moves the running ones
// under every strategy, as `model.train()` does under peft; where the head alone trains they stay in evaluation mode.
class Trainer {
 public:
  Trainer(std::shared_ptr<nn::Model> model, TrainOptions options);

  // One update on images (b, c, h, w) in [0, 1] and labels (b) i64. Throws Error(kNumeric) naming the first tensor with
  // a non-finite gradient; nothing is updated then.
  StepResult step(const Tensor& images, const Tensor& labels);
  // The same where only the head trains, on features (b, dim) that model.features() gave: equal to the bit.
  StepResult step_on_features(const Tensor& features, const Tensor& labels);

  // On a GPU: brings the batch of the step after the next one there while the next one computes. Optional; the same
  // tensors must then be given to that step.
  void prefetch(const Tensor& input, const Tensor& labels);

  int64_t steps() const { return optimizer_.steps(); }
  const nn::AdamW& optimizer() const { return optimizer_; }
  // On a GPU: how often forward and backward pass were called, recorded and replayed; else zeros.
  RepeatedStep::Counts counts() const;
  // Optimiser state for a checkpoint, and back.
  std::vector<std::pair<std::string, Tensor>> state() const { return optimizer_.state(); }
  void load_state(const std::map<std::string, Tensor>& state, int64_t steps, const std::string& file);

 private:
  using Net = Var (nn::Model::*)(const Var&);
  StepResult update(Net net, const Tensor& input, const Tensor& labels);
  void differentiate(Net net);
  void bring(const Tensor& input, const Tensor& labels);
  // Throws the error that names where the loss of the batch in input_ stopped being finite.
  [[noreturn]] void fail_on_loss(Net net, double loss);

  std::shared_ptr<nn::Model> model_;
  TrainOptions options_;
  nn::AdamW optimizer_;
  bool head_only_ = false;

  // What a step reads and leaves, at addresses that stay while the shapes do: a GPU replays it (kernels/graph.h).
  std::unique_ptr<RepeatedStep> repeated_;
  Tensor input_, labels_, loss_, squares_;
  std::vector<Tensor> grads_;

  // A batch that is on its way: where it comes from and where it goes.
  struct Ahead {
    Tensor source, input, labels;
  };
  Ahead ahead_[2];
  int turn_ = 0;
};

}  // namespace taut::finetune
