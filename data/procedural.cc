// The arithmetic is kernels/math.h's, 16 pixels at a time, so the bytes are the same everywhere. This file is compiled
// once, for the baseline processor, and has the vectors in a namespace of its own.
#define TAUT_CPU procedural_lanes
namespace taut::procedural_lanes {
constexpr bool kHasAvx512 = false;  // simd.h asks every user
}
#include "data/procedural.h"

#include <algorithm>
#include <cmath>

#include "data/preprocess.h"
#include "kernels/error.h"
#include "kernels/math.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "tensor/random.h"

namespace taut {
namespace {

constexpr int64_t kSide = ProceduralTask::kSide, kPixels = ProceduralTask::kPixels;
constexpr float kSharpness = 24;  // edges are sigmoids about 1/24 wide
constexpr int64_t kTrainSize = 10'000, kTestSize = 2'000;

namespace math = procedural_lanes;
using Lanes = math::Vec<float>;
using Plane = std::array<float, kPixels>;
constexpr size_t kLanes = math::kLanes;
static_assert(kPixels % kLanes == 0);
constexpr float kPi = 3.14159265358979f;

Lanes lanes(float x) { return math::broadcast(x); }
Lanes at(const Plane& plane, size_t i) { return math::load(plane.data() + i); }

// U and N of the recipe, in f32.
class Draw {
 public:
  Draw(uint64_t seed, uint64_t step, uint64_t sample) : random_(seed, Purpose::kProcedural, step, sample) {}
  float uniform(double low, double high) { return static_cast<float>(random_.uniform(low, high)); }
  float normal(double deviation) { return static_cast<float>(deviation * random_.normal()); }
  float spread(double deviation) { return math::exp(normal(deviation)); }  // a factor about 1
  bool chance(double probability) { return random_.uniform_double() < probability; }
  int64_t below(int64_t n) { return static_cast<int64_t>(random_.below(static_cast<uint64_t>(n))); }

 private:
  Random random_;
};

void draw_cloth(FigureClass& f, Draw& d) {
  f.frequency = d.uniform(2, 9);
  f.direction = d.uniform(0, kPi);
  const bool plain = d.chance(0.3);
  const float amplitude = d.uniform(0.15, 0.5);
  f.amplitude = plain ? 0 : amplitude;
  f.grey = d.uniform(0.35, 0.9);
}

FigureClass draw_class(Draw& d) {
  FigureClass f;
  for (size_t k = 0; k < f.parts.size(); ++k) {
    Part& p = f.parts[k];
    const bool body = k == 0;
    p.cx = body ? d.uniform(-0.045, 0.045) : d.uniform(-0.5, 0.5);
    p.cy = body ? d.uniform(-0.09, 0.09) : d.uniform(-0.6, 0.6);
    p.a = body ? d.uniform(0.15, 0.7) : d.uniform(0.12, 0.6);
    p.b = body ? d.uniform(0.3, 0.95) : d.uniform(0.12, 0.9);
    p.angle = body ? d.uniform(-0.236, 0.236) : d.uniform(-kPi / 2, kPi / 2);
    p.power = d.uniform(1.5, 6);
  }
  f.hole = d.chance(0.4);
  f.symmetric = d.chance(0.85);
  draw_cloth(f, d);
  return f;
}

// A class like `f`: the same figure with other sleeves and another cut.
FigureClass vary(const FigureClass& f, Draw& d) {
  FigureClass v = f;
  for (Part& p : v.parts) {
    p.cx += d.normal(0.05);
    p.cy += d.normal(0.08);
    p.a *= d.spread(0.15);
    p.b *= d.spread(0.15);
    p.angle += d.normal(0.15);
  }
  return v;
}

struct Grid {
  Plane x, y;
};

const Grid& grid() {
  static const Grid g = [] {
    Grid made;
    for (int64_t i = 0; i < kPixels; ++i) {
      made.x[static_cast<size_t>(i)] = (static_cast<float>(i % kSide) + 0.5f) / (kSide / 2) - 1;
      made.y[static_cast<size_t>(i)] = (static_cast<float>(i / kSide) + 0.5f) / (kSide / 2) - 1;
    }
    return made;
  }();
  return g;
}

Lanes clamp01(Lanes x) { return math::min(lanes(1), math::max(lanes(0), x)); }
Lanes power(Lanes x, Lanes exponent) { return math::exp(exponent * math::log(x)); }  // x > 0

// mask = max(mask, s), or mask (1 - s) for a hole, s the part's soft inside.
void add_part(const Part& part, bool symmetric, bool hole, const Plane& u, const Plane& v, Plane& mask) {
  const Lanes c = lanes(math::cos(part.angle)), s = lanes(math::sin(part.angle));
  const Lanes cx = lanes(symmetric ? std::abs(part.cx) : part.cx), cy = lanes(part.cy);
  const Lanes a = lanes(part.a), b = lanes(part.b), exponent = lanes(part.power), inverse = lanes(1.0f / part.power);
  const Lanes sharpness = lanes(kSharpness * std::min(part.a, part.b));
  const Lanes one = lanes(1), least = lanes(1e-4f);
  for (size_t i = 0; i < mask.size(); i += kLanes) {
    const Lanes p = (symmetric ? math::abs(at(u, i)) : at(u, i)) - cx;
    const Lanes q = at(v, i) - cy;
    const Lanes along = math::max(least, math::abs((c * p + s * q) / a));
    const Lanes across = math::max(least, math::abs((c * q - s * p) / b));
    const Lanes r = power(power(along, exponent) + power(across, exponent), inverse);
    const Lanes inside = math::sigmoid(sharpness * (one - r));
    const Lanes old = at(mask, i);
    math::store(mask.data() + i, hole ? old * (one - inside) : math::max(old, inside));
  }
}

// A bar across the image: alpha = sigmoid(24 (w - |cos t X + sin t Y - d|)).
void add_bar(float turn, float distance, float width, float grey, Plane& image) {
  const Grid& g = grid();
  const Lanes c = lanes(math::cos(turn)), s = lanes(math::sin(turn));
  for (size_t i = 0; i < image.size(); i += kLanes) {
    const Lanes away = math::abs(c * at(g.x, i) + s * at(g.y, i) - lanes(distance));
    const Lanes alpha = math::sigmoid(lanes(kSharpness) * (lanes(width) - away));
    math::store(image.data() + i, at(image, i) * (lanes(1) - alpha) + lanes(grey) * alpha);
  }
}

// Gaussian noise by Box and Muller, whose steps are free of branches.
void add_noise(float deviation, Random& random, Plane& image) {
  constexpr size_t kHalf = kPixels / 2;
  static_assert(kHalf % kLanes == 0);
  Plane uniform;
  for (size_t i = 0; i < kHalf; ++i) {
    uniform[i] = static_cast<float>((random.bits() >> 8) + 1) * 0x1p-24f;  // (0, 1]
    uniform[kHalf + i] = random.uniform();
  }
  for (size_t i = 0; i < kHalf; i += kLanes) {
    const Lanes radius = lanes(deviation) * math::sqrt(lanes(-2) * math::log(at(uniform, i)));
    const Lanes turn = lanes(2 * kPi) * at(uniform, kHalf + i);
    math::store(image.data() + i, at(image, i) + radius * math::sin(turn));
    math::store(image.data() + kHalf + i, at(image, kHalf + i) + radius * math::cos(turn));
  }
}

// One image and its clean figure, clamp(mask * fill).
void paint(const FigureClass& figure, const ProceduralTask::Nuisance& nuisance, Draw& d, Random& noise, Plane& image,
           Plane& clean) {
  const Grid& g = grid();
  FigureClass f = figure;
  if (nuisance.own_cloth) draw_cloth(f, d);
  const double more = nuisance.deform;
  const float pose = d.normal(0.1 * more);
  const float scale_x = d.spread(0.1 * more), scale_y = d.spread(0.1 * more);
  const float shift_x = d.normal(0.08 * more), shift_y = d.normal(0.08 * more);
  const float c = math::cos(pose), s = math::sin(pose);
  Plane u, v, mask{};
  for (size_t i = 0; i < u.size(); i += kLanes) {
    const Lanes x = at(g.x, i) - lanes(shift_x), y = at(g.y, i) - lanes(shift_y);
    math::store(u.data() + i, (lanes(c) * x + lanes(s) * y) / lanes(scale_x));
    math::store(v.data() + i, (lanes(c) * y - lanes(s) * x) / lanes(scale_y));
  }
  for (size_t k = 0; k < f.parts.size(); ++k) {
    Part part = f.parts[k];
    part.cx += d.normal(0.05 * more);
    part.cy += d.normal(0.05 * more);
    part.a *= d.spread(0.12 * more);
    part.b *= d.spread(0.12 * more);
    part.angle += d.normal(0.08 * more);
    add_part(part, f.symmetric, f.hole && k + 1 == f.parts.size(), u, v, mask);
  }
  const float amplitude = f.amplitude * d.uniform(0.6, 1.2);
  const float frequency = kPi * f.frequency * d.spread(0.05);
  const float direction = f.direction + d.normal(0.08);
  const float phase = d.uniform(0, 2 * kPi);
  const float wave_u = frequency * math::cos(direction), wave_v = frequency * math::sin(direction);
  const float base = f.grey + d.normal(0.15);
  const float light_x = d.normal(0.2), light_y = d.normal(0.2);
  const bool dark = d.chance(0.7);
  const float back = d.uniform(0, 0.4);
  const float background = dark ? 0 : back;
  for (size_t i = 0; i < u.size(); i += kLanes) {
    const Lanes wave = lanes(wave_u) * at(u, i) + lanes(wave_v) * at(v, i) + lanes(phase);
    const Lanes shade = lanes(1) + lanes(light_x) * at(g.x, i) + lanes(light_y) * at(g.y, i);
    const Lanes fill = lanes(base) * shade + lanes(amplitude) * math::sin(wave);
    const Lanes inside = at(mask, i);
    math::store(clean.data() + i, clamp01(inside * fill));
    math::store(image.data() + i, lanes(background) * (lanes(1) - inside) + inside * fill);
  }
  const bool bar = d.chance(0.15);
  const float turn = d.uniform(0, kPi), distance = d.uniform(-0.9, 0.9), width = d.uniform(0.03, 0.12);
  const float bar_grey = d.uniform(0, 1);
  if (bar) add_bar(turn, distance, width, bar_grey, image);
  add_noise(d.uniform(0, 0.08), noise, image);
  const bool invert = d.chance(0.15) && nuisance.inverted;
  for (size_t i = 0; i < image.size(); i += kLanes) {
    const Lanes x = clamp01(at(image, i));
    math::store(image.data() + i, invert ? lanes(1) - x : x);
  }
}

// The undeformed figure's mask.
Plane silhouette(const FigureClass& f) {
  Plane mask{};
  for (size_t k = 0; k < f.parts.size(); ++k) {
    add_part(f.parts[k], f.symmetric, f.hole && k + 1 == f.parts.size(), grid().x, grid().y, mask);
  }
  return mask;
}

float distance(const Plane& a, const Plane& b) {
  float sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

// Neither nearly empty nor nearly filling the image.
bool well_visible(const FigureClass& f) {
  float sum = 0;
  for (const float x : silhouette(f)) sum += x;
  return sum >= 0.15f * kPixels && sum <= 0.6f * kPixels;
}

class Procedural : public Dataset {
 public:
  Procedural(ProceduralTask task, int64_t train, int64_t test) : task_(std::move(task)), train_(train), test_(test) {}
  std::string name() const override { return "procedural-" + task_.name(); }
  int64_t size() const override { return train_ + test_; }
  int64_t classes() const override { return task_.classes(); }
  std::string class_name(int64_t c) const override { return fmt::format("figure {}", c); }
  int64_t label(int64_t i) const override { return task_.label(is_test(i), within(i)); }
  Image image(int64_t i) const override {
    const ProceduralTask::Sample sample = task_.draw(is_test(i), within(i));
    Image image(kSide, kSide, 1);
    std::copy(sample.pixels.begin(), sample.pixels.end(), image.pixels.begin());
    return image;
  }
  std::string source(int64_t i) const override {
    return fmt::format("{} {} image {}", name(), is_test(i) ? "test" : "train", within(i));
  }

 private:
  bool is_test(int64_t i) const { return i >= train_; }
  int64_t within(int64_t i) const {
    TAUT_CHECK(i >= 0 && i < size(), "[{}] expected an image number in [0, {}), got {}", name(), size(), i);
    return is_test(i) ? i - train_ : i;
  }

  ProceduralTask task_;
  int64_t train_, test_;
};

}  // namespace

ProceduralTask ProceduralTask::upstream(uint64_t seed) {
  ProceduralTask task("upstream", Id::kUpstream, seed, {.deform = 1, .own_cloth = false, .inverted = true});
  for (uint64_t c = 0; c < 100; ++c) {
    Draw draw(seed, task.step(Stream::kBank), c);
    task.bank_.push_back(draw_class(draw));
  }
  return task;
}

ProceduralTask ProceduralTask::easy(uint64_t seed) {
  ProceduralTask task("easy", Id::kEasy, seed, {.deform = 1.5, .own_cloth = true, .inverted = false});
  std::vector<FigureClass> candidates;
  std::vector<Plane> masks;
  for (uint64_t c = 0; candidates.size() < 20; ++c) {
    Draw draw(seed, task.step(Stream::kBank), c);
    const FigureClass figure = draw_class(draw);
    if (!well_visible(figure)) continue;
    candidates.push_back(figure);
    masks.push_back(silhouette(figure));
  }
  // Farthest first: each next class is the candidate least like those already taken.
  std::vector<size_t> taken = {0};
  while (taken.size() < 5) {
    size_t best = 0;
    float best_distance = -1;
    for (size_t c = 0; c < candidates.size(); ++c) {
      float nearest = distance(masks[c], masks[taken[0]]);
      for (const size_t t : taken) nearest = std::min(nearest, distance(masks[c], masks[t]));
      if (nearest > best_distance) {
        best_distance = nearest;
        best = c;
      }
    }
    taken.push_back(best);
  }
  for (const size_t t : taken) task.bank_.push_back(candidates[t]);
  return task;
}

ProceduralTask ProceduralTask::fine(uint64_t seed) {
  ProceduralTask task("fine", Id::kFine, seed, {.deform = 1, .own_cloth = true, .inverted = false});
  // Figure c = 0, 1, ... until one is well visible, and its variations likewise.
  std::vector<FigureClass> found;
  for (uint64_t c = 0; found.size() < 6; ++c) {
    Draw draw(seed, task.step(Stream::kBank), c);
    const FigureClass figure = found.empty() ? draw_class(draw) : vary(found[0], draw);
    if (well_visible(figure)) found.push_back(figure);
  }
  task.bank_.assign(found.begin() + 1, found.end());
  return task;
}

ProceduralTask ProceduralTask::named(const std::string& name, uint64_t seed) {
  TAUT_CHECK(name == "upstream" || name == "easy" || name == "fine",
             "[procedural] expected upstream, easy or fine, got '{}'", name);
  return name == "upstream" ? upstream(seed) : name == "easy" ? easy(seed) : fine(seed);
}

int64_t ProceduralTask::label(bool test, int64_t index) const {
  if (id_ != Id::kUpstream) return index % classes();
  Draw draw(seed_, step(test ? Stream::kTest : Stream::kTrain), static_cast<uint64_t>(index));
  return draw.below(classes());
}

ProceduralTask::Sample ProceduralTask::draw(bool test, int64_t index) const {
  const auto number = static_cast<uint64_t>(index);
  Draw draw(seed_, step(test ? Stream::kTest : Stream::kTrain), number);
  Random noise(seed_, Purpose::kProcedural, step(test ? Stream::kTestNoise : Stream::kTrainNoise), number);
  Sample sample;
  const int64_t drawn = draw.below(classes());
  sample.label = id_ == Id::kUpstream ? drawn : index % classes();
  Plane image, clean;
  paint(bank_[static_cast<size_t>(sample.label)], nuisance_, draw, noise, image, clean);
  for (size_t i = 0; i < image.size(); ++i) sample.pixels[i] = static_cast<uint8_t>(image[i] * 255.0f + 0.5f);
  for (int64_t cell = 0; cell < kCells; ++cell) {
    constexpr int64_t kAcross = kSide / kCell;
    float sum = 0;
    for (int64_t k = 0; k < kCell * kCell; ++k) {
      const int64_t y = cell / kAcross * kCell + k / kCell, x = cell % kAcross * kCell + k % kCell;
      sum += clean[static_cast<size_t>(y * kSide + x)];
    }
    sample.target[static_cast<size_t>(cell)] = (sum / (kCell * kCell) - 0.3f) / 0.3f;
  }
  return sample;
}

void ProceduralTask::batch(int64_t first, int64_t n, float* images, int64_t* labels, float* targets) const {
  parallel_for(n, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Sample sample = draw(false, first + i);
      to_float(sample.pixels.data(), kSide, kSide, 1, images + i * kPixels);
      labels[i] = sample.label;
      std::copy(sample.target.begin(), sample.target.end(), targets + i * kCells);
    }
  });
}

DatasetPtr procedural_dataset(const std::string& task, const std::string& split, uint64_t seed) {
  if (split == "validation") {
    fail(Exit::kMissing, "[procedural:{}] expected the split train or test, got validation", task);
  }
  return std::make_shared<Procedural>(ProceduralTask::named(task, seed), split == "test" ? 0 : kTrainSize,
                                      split == "train" ? 0 : kTestSize);
}

}  // namespace taut
