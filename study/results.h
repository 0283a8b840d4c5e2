// What a report is made of: plain data, filled from finished, running or failed runs. No tensors, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace taut::study {

// How many images of a shifted domain were right.
struct ShiftedCount {
  std::string domain;
  int64_t n = 0, correct = 0;
  bool other_domain = false;                // images of their own, not the test images changed
  std::optional<int64_t> robust_last = {};  // right under attack too, where it was tried
  std::vector<uint64_t> clean_ok = {};      // of another domain: a bit an image, bit i mod 64 of word i / 64
};

// One evaluation during a run. The flags of all points of a run are of the same images in the same order, and so are
// those of all runs of one data set: the bootstrap pairs them by position.
struct Point {
  int64_t step = 0;
  int64_t n = 0;  // images, clean and attacked
  int64_t clean_correct = 0, robust_last_correct = 0, robust_best_correct = 0;
  double mean_loss_clean = 0, mean_loss_adv = 0;
  int64_t train_n = 0, train_correct = 0;  // clean, on the training split; 0 of 0 where it was not measured
  std::vector<ShiftedCount> shifted;
  std::vector<uint8_t> clean_ok, robust_last_ok, robust_best_ok;  // (n), 0 or 1
};

struct Check {
  std::string name, value;
  bool pass = true;
};

// An image and its adversarial version as the attack left it, in [0, 1].
struct Sample {
  int64_t channels = 3, height = 0, width = 0;
  std::vector<float> clean, adversarial;  // (channels, height, width)
  int64_t label = 0, clean_prediction = 0, adversarial_prediction = 0;
};

enum class RunState { kTodo, kRunning, kDone, kFailed };

struct RunResult {
  std::string run_id, dataset, strategy, variant;
  uint64_t seed = 0;
  RunState state = RunState::kTodo;
  // Else the robust counts are the clean ones again, and no robust accuracy or area comes of them.
  bool attacked = true;
  std::string error;  // why it failed
  int64_t steps = 0;  // planned updates
  int64_t classes = 0;
  std::vector<std::string> class_names;               // may be empty
  int64_t trainable = 0, total = 0;                   // parameters
  double train_flops = 0, eval_flops = 0;             // of the whole run
  int64_t images_trained = 0;                         // with repetition
  std::optional<double> train_seconds, eval_seconds;  // depend on the clock
  std::string recipe;                                 // optimiser, learning rate and schedule in a phrase
  std::string warm_up;                                // one sentence: how warm-up was scaled
  std::vector<Point> points;                          // ascending steps
  std::vector<Check> checks;
  std::vector<Sample> samples;
};

struct Setting {
  std::string key, value;
  bool hinted = false;  // the study only hints at this value; it is our reading
};

struct StudyResults {
  std::string title;
  std::string mode;                   // fixed or official
  std::string attack;                 // one phrase: "PGD-15, L-infinity, eps 8/255, ..."
  std::vector<Setting> settings;      // in the order to show
  std::vector<std::string> commands;  // command lines that made it
  std::vector<std::string> notes;
  std::vector<RunResult> runs;  // planned order; data sets and strategies keep the order of first appearance
};

}  // namespace taut::study
