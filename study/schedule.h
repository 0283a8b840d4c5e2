// When a run is evaluated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace taut::study {

// Updates after which to evaluate, ascending, each once, all in 0 .. total, `total` always among them:
//   official-code   0, every 50 up to 100, every 30 up to 300, every 200 up to 1,000, every 2,000 up to 3,000, every
//                   4,000 up to 10,000, every 6,000 up to 30,000, every 20,000 after (the study's released code)
//   paper-text      0, every 50 up to 700, every 1,000 up to 3,000, every 6,000 after (its text)
//   list            `points` up to total
// Throws Error(kUsage) for another name.
std::vector<int64_t> evaluation_points(const std::string& schedule, const std::vector<int64_t>& points, int64_t total);

// The protocol's length and warm-up on CIFAR (352 updates an epoch, 20 epochs); a shorter study scales the warm-up with
// its length, rounded to the nearest update.
inline constexpr int64_t kProtocolSteps = 7040, kProtocolWarmup = 800;
int64_t scaled_warmup(int64_t steps);

}  // namespace taut::study
