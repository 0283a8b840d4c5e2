#include "study/check/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <tuple>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "study/correlation.h"
#include "study/domains.h"
#include "study/pareto.h"
#include "tensor/random.h"

namespace taut::study {
namespace {

constexpr uint64_t kHalves = 0xffffffff;               // the step of the stream that halves the images
constexpr uint64_t kRunDraws = uint64_t{1} << 62;      // the sample of those that draw runs
constexpr uint64_t kOtherImages = 0x9e3779b97f4a7c15;  // other domains are drawn apart from the test images

// One kind of verdict at every evaluation: all images, and those of them in the first half.
struct Verdicts {
  std::vector<Bits> all = {}, half = {};
};

// The same drawn: counts.
struct Counts {
  int64_t n = 0, half_n = 0;
  std::vector<int64_t> all = {}, half = {};
};

struct Subject {
  const RunResult* run = nullptr;
  size_t strategy = 0;
  int64_t n = 0, domain_n = 0;
  Verdicts clean = {}, robust = {}, domains = {};  // domains: all others together; empty without
};

// A fixed half of the images, for each number of them; drawn, so that no order of the classes shows in it.
class Halves {
 public:
  explicit Halves(uint64_t seed) : seed_(seed) {}
  const Bits& of(int64_t n) {
    const auto [at, is_new] = known_.try_emplace(n);
    if (is_new) {
      at->second.assign(static_cast<size_t>((n + 63) / 64), 0);
      Random random(seed_, Purpose::kBootstrap, kHalves, static_cast<uint64_t>(n));
      for (int64_t i = 0; i < n; ++i)
        at->second[static_cast<size_t>(i / 64)] |= static_cast<uint64_t>(random.bits() >> 31) << (i % 64);
    }
    return at->second;
  }
  const Bits& known(int64_t n) const { return known_.at(n); }
  uint64_t seed() const { return seed_; }

 private:
  uint64_t seed_;
  std::map<int64_t, Bits> known_;
};

Bits both(const Bits& a, const Bits& b) {
  Bits out(a.size());
  for (size_t w = 0; w < a.size(); ++w) out[w] = a[w] & b[w];
  return out;
}

// The images of other domains one after another; nothing where a domain lacks its verdicts.
std::optional<Bits> pooled_verdicts(const Point& point) {
  std::vector<uint8_t> flags;
  for (const ShiftedCount& s : point.shifted) {
    if (!s.other_domain) continue;
    if (s.clean_ok.size() != static_cast<size_t>((s.n + 63) / 64)) return std::nullopt;
    for (int64_t i = 0; i < s.n; ++i) flags.push_back(s.clean_ok[static_cast<size_t>(i / 64)] >> (i % 64) & 1);
  }
  return flags.empty() ? std::nullopt : std::optional(pack_bits(flags));
}

Subject subject_of(const RunResult& run, size_t strategy, Halves& halves, Halves& other_halves) {
  Subject s{.run = &run, .strategy = strategy, .n = run.points[0].n};
  const Bits& half = halves.of(s.n);
  bool domains = true;
  for (const Point& p : run.points) {
    s.clean.all.push_back(pack_bits(p.clean_ok));
    s.robust.all.push_back(pack_bits(p.robust_last_ok));
    s.robust.half.push_back(both(s.robust.all.back(), half));
    const auto pooled = pooled_domains(p);
    domains = domains && pooled && (s.domain_n == 0 || pooled->n == s.domain_n);
    if (!domains) continue;
    s.domain_n = pooled->n;
    const auto bits = pooled_verdicts(p);
    domains = bits.has_value();
    if (domains) s.domains.all.push_back(*bits);
  }
  if (!domains) {
    s.domain_n = 0;
    s.domains = {};
  } else {
    const Bits& other_half = other_halves.of(s.domain_n);
    for (const Bits& bits : s.domains.all) s.domains.half.push_back(both(bits, other_half));
  }
  return s;
}

// The images as they are, or a resample of them.
class Images {
 public:
  Images(int64_t n, const Halves& halves, int64_t b) : n_(n) {
    if (b >= 0) draw_.emplace(n, halves.seed(), b);
    half_n_ = count(halves.known(n));
  }
  int64_t n() const { return n_; }
  Counts counts(const Verdicts& verdicts) const {
    Counts out{.n = n_, .half_n = half_n_};
    for (const Bits& bits : verdicts.all) out.all.push_back(count(bits));
    for (const Bits& bits : verdicts.half) out.half.push_back(count(bits));
    return out;
  }

 private:
  int64_t count(const Bits& bits) const {
    if (draw_) return draw_->count(bits);
    int64_t ones = 0;
    for (const uint64_t word : bits) ones += std::popcount(word);
    return ones;
  }
  int64_t n_, half_n_ = 0;
  std::optional<Draw> draw_;
};

double ratio(int64_t correct, int64_t n) { return n > 0 ? static_cast<double>(correct) / static_cast<double>(n) : 0; }

struct CourseNumbers {
  double rise = 0, fall = 0, rise_most = 0, fall_most = 0, peak = 0, peak_step = 0, end = 0;
};

size_t highest_between(const std::vector<int64_t>& counts) {
  return static_cast<size_t>(std::max_element(counts.begin() + 1, counts.end() - 1) - counts.begin());
}

CourseNumbers course_numbers(const Counts& c, const std::vector<Point>& points) {
  CourseNumbers out;
  const size_t last = points.size() - 1;
  out.end = ratio(c.all[last], c.n);
  if (points.size() < 3) return out;
  std::vector<int64_t> rest(c.all.size());
  for (size_t t = 0; t < rest.size(); ++t) rest[t] = c.all[t] - c.half[t];
  const int64_t rest_n = c.n - c.half_n;
  using Way = std::tuple<const std::vector<int64_t>*, const std::vector<int64_t>*, int64_t>;
  for (const auto& [picked, measured, n] : {Way{&c.half, &rest, rest_n}, Way{&rest, &c.half, c.half_n}}) {
    const size_t t = highest_between(*picked);
    const double at = ratio((*measured)[t], n);
    out.peak += at / 2;
    out.peak_step += static_cast<double>(points[t].step) / 2;
    out.rise += (at - ratio((*measured)[0], n)) / 2;
    out.fall += (at - ratio((*measured)[last], n)) / 2;
  }
  const double most = ratio(c.all[highest_between(c.all)], c.n);
  out.rise_most = most - ratio(c.all[0], c.n);
  out.fall_most = most - out.end;
  return out;
}

// How much each run counts in one resample: in means, and how often it was drawn.
struct RunWeights {
  std::vector<double> mean;
  std::vector<double> times;
};

RunWeights run_weights(const std::vector<Subject>& subjects, size_t strategies, uint64_t seed, int64_t b) {
  RunWeights out;
  out.mean.resize(subjects.size());
  out.times.assign(subjects.size(), 1);
  for (size_t s = 0; s < strategies; ++s) {
    std::vector<size_t> own;
    for (size_t r = 0; r < subjects.size(); ++r)
      if (subjects[r].strategy == s) own.push_back(r);
    const auto m = static_cast<double>(own.size());
    if (b >= 0 && own.size() > 1) {
      Random random(seed, Purpose::kBootstrap, static_cast<uint64_t>(b), kRunDraws + s);
      for (const size_t r : own) out.times[r] = 0;
      for (size_t i = 0; i < own.size(); ++i) ++out.times[own[random.below(own.size())]];
    }
    for (const size_t r : own) out.mean[r] = (1 + (m > 1 ? std::sqrt(m / (m - 1)) : 0) * (out.times[r] - 1)) / m;
  }
  return out;
}

void put(Resampled& to, int64_t b, double value) { (b < 0 ? to.raw : to.draws[static_cast<size_t>(b)]) += value; }

void put(CourseStatistics& to, int64_t b, const CourseNumbers& c, double w) {
  put(to.rise, b, w * c.rise);
  put(to.fall, b, w * c.fall);
  put(to.rise_most, b, w * c.rise_most);
  put(to.fall_most, b, w * c.fall_most);
  put(to.peak, b, w * c.peak);
  put(to.peak_step, b, w * c.peak_step);
  put(to.end, b, w * c.end);
}

void make_room(StrategyStatistics& s, size_t resamples) {
  for (Resampled* r : {&s.area, &s.early_clean, &s.out}) r->draws.assign(resamples, 0);
  for (CourseStatistics* c : {&s.robust, &s.domains})
    for (Resampled* r : {&c->rise, &c->fall, &c->rise_most, &c->fall_most, &c->peak, &c->peak_step, &c->end})
      r->draws.assign(resamples, 0);
}

double area_of(const Counts& clean, const Counts& robust) {
  std::vector<TradeOff<int64_t>> points;
  for (size_t p = 0; p < clean.all.size(); ++p) points.push_back({clean.all[p], robust.all[p]});
  return ratio(hypervolume_in_place(std::span(points)), clean.n * clean.n);
}

double early_clean_of(const Counts& clean, const std::vector<Point>& points) {
  double best = 0;
  for (size_t p = 0; p < points.size(); ++p)
    if (points[p].step <= kEarlySteps) best = std::max(best, ratio(clean.all[p], clean.n));
  return best;
}

// Everything of one resample; writes nothing but its own places.
void measure_once(DatasetStatistics& out, const std::vector<Subject>& subjects, const Halves& halves,
                  const Halves& other_halves, int64_t b) {
  const RunWeights weights = run_weights(subjects, out.strategies.size(), halves.seed(), b);
  std::optional<Images> images, other_images;
  Correlation correlation;
  for (size_t r = 0; r < subjects.size(); ++r) {
    const Subject& subject = subjects[r];
    const std::vector<Point>& points = subject.run->points;
    if (!images || images->n() != subject.n) images.emplace(subject.n, halves, b);
    StrategyStatistics& s = out.strategies[subject.strategy];
    const double w = weights.mean[r];
    const Counts clean = images->counts(subject.clean), robust = images->counts(subject.robust);
    put(s.area, b, w * area_of(clean, robust));
    put(s.early_clean, b, w * early_clean_of(clean, points));
    put(s.robust, b, course_numbers(robust, points), w);
    if (!out.domains) continue;
    if (!other_images || other_images->n() != subject.domain_n) other_images.emplace(subject.domain_n, other_halves, b);
    const Counts domains = other_images->counts(subject.domains);
    put(s.out, b, w * ratio(domains.all.back(), domains.n));
    put(s.domains, b, course_numbers(domains, points), w);
    if (weights.times[r] == 0) continue;
    for (size_t p = 0; p < points.size(); ++p)
      if (points[p].step > 0)
        correlation.add(probit(clean.all[p], clean.n), probit(domains.all[p], domains.n), weights.times[r]);
  }
  if (out.domains) put(out.correlation, b, correlation.value());
}

}  // namespace

void Resampled::add(const Resampled& other, double weight) {
  if (draws.empty()) draws.assign(other.draws.size(), 0);
  raw += weight * other.raw;
  for (size_t b = 0; b < draws.size(); ++b) draws[b] += weight * other.draws[b];
}

const StrategyStatistics* DatasetStatistics::find(std::string_view strategy) const {
  const auto it = std::ranges::find(strategies, strategy, &StrategyStatistics::strategy);
  return it == strategies.end() ? nullptr : &*it;
}

int64_t DatasetStatistics::fewest_runs() const {
  int64_t fewest = 0;
  for (const StrategyStatistics& s : strategies) fewest = fewest == 0 ? s.runs : std::min(fewest, s.runs);
  return fewest;
}

DatasetStatistics measure(const StudyResults& results, const std::string& dataset, const BootstrapOptions& options) {
  DatasetStatistics out;
  out.dataset = dataset;
  std::vector<Subject> subjects;
  Halves halves(options.seed), other_halves(options.seed ^ kOtherImages);
  for (const RunResult& run : results.runs) {
    if (run.dataset != dataset || run.state != RunState::kDone) continue;
    auto it = std::ranges::find(out.strategies, run.strategy, &StrategyStatistics::strategy);
    if (it == out.strategies.end()) {
      it = out.strategies.insert(it, StrategyStatistics{});
      it->strategy = run.strategy;
    }
    ++it->runs;
    subjects.push_back(subject_of(run, static_cast<size_t>(it - out.strategies.begin()), halves, other_halves));
    out.images = std::max(out.images, subjects.back().n);
    out.domain_images = std::max(out.domain_images, subjects.back().domain_n);
    out.classes = std::max(out.classes, run.classes);
    const int64_t last = run.points.back().step;
    out.last_step = out.last_step == 0 ? last : std::min(out.last_step, last);
    for (const Point& p : run.points) out.evaluations += p.step > 0;
  }
  if (subjects.empty()) return out;
  const auto all = [&](const auto& holds) { return std::ranges::all_of(subjects, holds); };
  out.course = all([](const Subject& s) { return s.run->points.size() >= 3; });
  out.from_start = all([](const Subject& s) { return s.run->points[0].step == 0; });
  out.domains = all([](const Subject& s) { return s.domain_n > 0; });
  for (StrategyStatistics& s : out.strategies) make_room(s, static_cast<size_t>(options.resamples));
  out.correlation.draws.assign(static_cast<size_t>(options.resamples), 0);
  measure_once(out, subjects, halves, other_halves, -1);
  parallel_for(options.resamples, 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) measure_once(out, subjects, halves, other_halves, b);
  });
  return out;
}

}  // namespace taut::study
