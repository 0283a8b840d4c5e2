// Images made from a seed: figures of three super-ellipses with a texture, 24 x 24 grey.
//
// A class is three super-ellipses |x/a|^p + |y/b|^p <= 1 (the last may be a hole), mirror-symmetric or not, a texture
// and a grey. An image draws a pose, deforms every part, shades and textures the figure, and puts it on a background
// with clutter and noise. Silhouettes like clothes come out of it without any picture of clothes. The upstream task has
// 100 random classes; a network that also regresses the clean figure learns features that transfer. Downstream, for
// machines without data, are two tasks of five classes from banks of their own: `easy` (classes unlike each other) and
// `fine` (variations of one figure).
//
// Image i is a pure function of (seed, task, split, i): any order, any number of threads, the same bytes on any
// machine.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace taut {

struct Part {
  float cx, cy, a, b, angle, power;  // centre, half axes, rotation, exponent of the super-ellipse
};

struct FigureClass {
  std::array<Part, 3> parts;
  bool hole;                              // the last part is cut out
  bool symmetric;                         // about the vertical axis
  float frequency, direction, amplitude;  // of the texture
  float grey;
};

class ProceduralTask {
 public:
  static constexpr int64_t kSide = 24, kPixels = kSide * kSide;
  static constexpr int64_t kCell = 4, kCells = (kSide / kCell) * (kSide / kCell);  // the target's 6 x 6 cells

  struct Sample {
    int64_t label;
    std::array<uint8_t, kPixels> pixels;
    std::array<float, kCells> target;  // the clean figure's mean t over each 4 x 4 cell, as (t - 0.3) / 0.3
  };

  // What an image of the task shows besides its class.
  struct Nuisance {
    float deform;    // how many times as strongly as upstream pose and parts vary
    bool own_cloth;  // texture and grey are drawn for the image, so that only the silhouette tells the class
    bool inverted;   // some images are negatives
  };

  static ProceduralTask upstream(uint64_t seed);  // 100 classes, the label drawn with the image
  static ProceduralTask easy(uint64_t seed);      // 5 classes, label = i mod 5
  static ProceduralTask fine(uint64_t seed);      // 5 classes, label = i mod 5
  // "upstream", "easy" or "fine". Throws Error(kUsage) for another name.
  static ProceduralTask named(const std::string& name, uint64_t seed);

  const std::string& name() const { return name_; }
  int64_t classes() const { return static_cast<int64_t>(bank_.size()); }

  int64_t label(bool test, int64_t index) const;
  // Image `index` >= 0 of the endless training stream or of the endless test stream.
  Sample draw(bool test, int64_t index) const;

  // Training images first .. first + n - 1 on all threads: images (n, 1, 24, 24) in [0, 1] (multiples of 1/255),
  // labels (n), targets (n, 36).
  void batch(int64_t first, int64_t n, float* images, int64_t* labels, float* targets) const;

 private:
  enum class Id : uint32_t { kUpstream = 0, kEasy = 1, kFine = 2 };
  enum class Stream : uint32_t { kBank, kTrain, kTrainNoise, kTest, kTestNoise };
  ProceduralTask(std::string name, Id id, uint64_t seed, Nuisance nuisance)
      : name_(std::move(name)), id_(id), seed_(seed), nuisance_(nuisance) {}
  uint64_t step(Stream stream) const { return static_cast<uint64_t>(id_) * 16 + static_cast<uint64_t>(stream); }

  std::string name_;
  Id id_;
  uint64_t seed_;
  Nuisance nuisance_;
  std::vector<FigureClass> bank_;
};

// The task as a data set of 1-channel images: split "train" (10,000 images), "test" (2,000) or "all".
DatasetPtr procedural_dataset(const std::string& task, const std::string& split, uint64_t seed);

}  // namespace taut
