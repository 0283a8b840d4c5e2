// Generated data and shifted domains: same bytes everywhere, and what the recipe says they show.
#include "data/procedural.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "data/shift.h"
#include "kernels/parallel.h"
#include "tests/data/support.h"

namespace taut::test {
namespace {

uint64_t hash_of(const ProceduralTask& task, bool test, int64_t n) {
  uint64_t h = 0xCBF29CE484222325u;
  for (int64_t i = 0; i < n; ++i) {
    const ProceduralTask::Sample s = task.draw(test, i);
    h = hash(&s.label, sizeof s.label, h);
    h = hash(s.pixels.data(), s.pixels.size(), h);
    h = hash(s.target.data(), s.target.size() * sizeof(float), h);
  }
  return h;
}

double mean(const Image& image) {
  double sum = 0;
  for (const uint8_t p : image.pixels) sum += p;
  return sum / static_cast<double>(image.pixels.size());
}

}  // namespace

TEST_CASE("the procedural tasks have the same bytes on every machine") {
  // Stored from the first run. They change only with the recipe, and then every cached backbone is out of date.
  CHECK(hash_of(ProceduralTask::upstream(1), false, 64) == 11627105428997284189u);
  CHECK(hash_of(ProceduralTask::easy(1), false, 64) == 11407438938172419892u);
  CHECK(hash_of(ProceduralTask::fine(1), true, 64) == 10493911605972633101u);
}

TEST_CASE("an image is a function of seed, split and index alone") {
  const ProceduralTask task = ProceduralTask::upstream(5);
  CHECK(hash_of(task, false, 8) == hash_of(ProceduralTask::upstream(5), false, 8));
  CHECK(hash_of(task, false, 8) != hash_of(task, true, 8));
  CHECK(hash_of(task, false, 8) != hash_of(ProceduralTask::upstream(6), false, 8));
  const int64_t n = 37;
  std::vector<std::vector<float>> runs;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    std::vector<float> images(n * ProceduralTask::kPixels), targets(n * ProceduralTask::kCells);
    std::vector<int64_t> labels(n);
    task.batch(100, n, images.data(), labels.data(), targets.data());
    const ProceduralTask::Sample s = task.draw(false, 136);
    CHECK(labels[36] == s.label);
    CHECK(labels[36] == task.label(false, 136));
    CHECK(images[36 * 576 + 300] == static_cast<float>(s.pixels[300]) / 255.0f);
    CHECK(targets[36 * 36 + 20] == s.target[20]);
    images.insert(images.end(), targets.begin(), targets.end());
    runs.push_back(std::move(images));
  }
  CHECK(runs[0] == runs[1]);
  CHECK(runs[0] == runs[2]);
}

TEST_CASE("the upstream task has 100 classes, varied pictures and targets of the clean figure") {
  const ProceduralTask task = ProceduralTask::upstream(0);
  CHECK(task.classes() == 100);
  std::set<int64_t> labels;
  double target = 0, target_squares = 0;
  int bright = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const ProceduralTask::Sample s = task.draw(false, i);
    labels.insert(s.label);
    double sum = 0;
    for (const uint8_t p : s.pixels) sum += p;
    bright += sum > 0.55 * 255 * 576 ? 1 : 0;
    for (const float t : s.target) {
      CHECK(t >= -1.0001f);
      CHECK(t <= 2.3334f);
      target += t;
      target_squares += t * t;
    }
  }
  CHECK(labels.size() == 100);
  CHECK(bright > 200);  // the negatives, 15 of 100
  CHECK(bright < 600);
  target /= 72000;
  CHECK(std::abs(target) < 0.5);
  CHECK(target_squares / 72000 - target * target > 0.5);
}

TEST_CASE("a target is the mean of the clean figure where the picture is clean") {
  // Without background, bar or negative, image and figure differ by noise alone, whose mean over 36 cells is small.
  const ProceduralTask task = ProceduralTask::easy(3);
  int close = 0;
  for (int64_t i = 0; i < 100; ++i) {
    const ProceduralTask::Sample s = task.draw(true, i);
    double worst = 0;
    for (int64_t cell = 0; cell < 36; ++cell) {
      double sum = 0;
      for (int64_t k = 0; k < 16; ++k) {
        sum += s.pixels[static_cast<size_t>((cell / 6 * 4 + k / 4) * 24 + cell % 6 * 4 + k % 4)];
      }
      worst = std::max(worst, std::abs(sum / 16 / 255 - (s.target[static_cast<size_t>(cell)] * 0.3 + 0.3)));
    }
    close += worst < 0.08 ? 1 : 0;
  }
  CHECK(close > 45);  // 0.7 have no background, 0.85 no bar
}

TEST_CASE("downstream tasks are balanced data sets; the easy one is easier") {
  std::vector<double> accuracy;
  for (const char* name : {"procedural:easy", "procedural:fine"}) {
    const DatasetPtr train = open_dataset(name, {.split = "train", .limit = 1000});
    const DatasetPtr test = open_dataset(name, {.limit = 500});
    CHECK(train->classes() == 5);
    CHECK(train->label(7) == 2);
    CHECK(train->image(0).channels == 1);
    CHECK(train->image(0).height == 24);
    CHECK(open_dataset(name, {.split = "train"})->size() == 10000);
    CHECK(open_dataset(name)->size() == 2000);
    CHECK(open_dataset(name, {.split = "all"})->image(10003) == test->image(3));
    CHECK(train->image(3) != test->image(3));
    // Nearest neighbour on plain pixels.
    std::vector<Image> known;
    for (int64_t i = 0; i < train->size(); ++i) known.push_back(train->image(i));
    int right = 0;
    for (int64_t i = 0; i < test->size(); ++i) {
      const Image image = test->image(i);
      int64_t best = 0, best_distance = INT64_MAX;
      for (size_t k = 0; k < known.size(); ++k) {
        int64_t distance = 0;
        for (size_t p = 0; p < image.pixels.size(); ++p) {
          const int64_t d = int64_t{image.pixels[p]} - known[k].pixels[p];
          distance += d * d;
        }
        if (distance < best_distance) {
          best_distance = distance;
          best = static_cast<int64_t>(k);
        }
      }
      right += train->label(best) == test->label(i) ? 1 : 0;
    }
    accuracy.push_back(right / 500.0);
  }
  CHECK(accuracy[0] > accuracy[1] + 0.05);
  CHECK(accuracy[0] < 0.97);  // leaves room above plain pixels
  CHECK(accuracy[1] > 0.35);
  CHECK(accuracy[1] < 0.8);
}

TEST_CASE("rotation: a quarter turn moves pixels exactly, no turn changes nothing, corners turn black") {
  const Image image = sample_image(9, 9, 3);
  CHECK(rotate(image, 0) == image);
  const Image turned = rotate(image, 1.57079632679f);
  int close = 0;
  for (int64_t y = 0; y < 9; ++y) {
    for (int64_t x = 0; x < 9; ++x) {
      // Counter-clockwise: what is at the right edge goes to the top.
      for (int64_t c = 0; c < 3; ++c) {
        close += std::abs(turned.row(y)[3 * x + c] - image.row(x)[3 * (8 - y) + c]) <= 1 ? 1 : 0;
      }
    }
  }
  CHECK(close == 243);
  Image white(24, 24, 1);
  std::fill(white.pixels.begin(), white.pixels.end(), uint8_t{255});
  const Image tilted = rotate(white, 0.4f);
  CHECK(tilted.row(0)[0] == 0);
  CHECK(tilted.row(12)[12] == 255);
}

TEST_CASE("shifted domains keep labels, depend on seed and index alone, and never darken under a texture") {
  const DatasetPtr base = open_dataset("procedural:fine", {.limit = 50});
  for (const char* kind : {"rotation", "texture"}) {
    const DatasetPtr one = shifted(base, kind, 4), two = shifted(base, kind, 4), other = shifted(base, kind, 5);
    CHECK(one->name() == std::string("procedural-fine-") + kind);
    int same = 0;
    for (int64_t i = 49; i >= 0; --i) {
      CHECK(one->image(i) == two->image(i));
      CHECK(one->label(i) == base->label(i));
      same += one->image(i) == other->image(i) ? 1 : 0;
    }
    CHECK(same == 0);
  }
  const DatasetPtr textured = shifted(base, "texture", 1);
  double lift = 0;
  for (int64_t i = 0; i < 50; ++i) {
    const Image before = base->image(i), after = textured->image(i);
    for (size_t p = 0; p < before.pixels.size(); ++p) CHECK(after.pixels[p] >= before.pixels[p]);
    lift += mean(after) - mean(before);
  }
  CHECK(lift / 50 > 10);
  CHECK(caught([&] { shifted(base, "fog", 0); }).names("rotation or texture"));
}

TEST_CASE("a texture is .2 + .2 sin(pi f (cos t X + sin t Y) + s)") {
  Image black(24, 24, 1);
  const Image textured = put_on_texture(black, 3, 0.5f, 1);
  for (const auto& [y, x] : {std::pair<int64_t, int64_t>{0, 0}, {5, 20}, {23, 11}}) {
    const double u = (x + 0.5) / 12 - 1, v = (y + 0.5) / 12 - 1;
    const double want =
        255 * (0.2 + 0.2 * std::sin(3 * 3.14159265358979 * (std::cos(0.5) * u + std::sin(0.5) * v) + 1));
    CHECK(std::abs(textured.row(y)[x] - want) <= 0.51);
  }
}

}  // namespace taut::test
