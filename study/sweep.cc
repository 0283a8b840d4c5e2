#include "study/sweep.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "kernels/error.h"
#include "study/config.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

using Fields = std::map<std::string, std::string>;  // of a range: from, to, ...

const std::vector<std::string> kFields = {"from", "to", "step", "factor", "points", "scale"};
constexpr double kSlack = 1e-9;  // relative: a range reaches its end in spite of rounding

bool is_key(const std::string& name) {
  return std::ranges::any_of(all_keys(), [&](const Key& key) { return key.name == name; });
}

// What a body of checks throws, with the place of the sweep before it.
template <class Body>
void naming(const std::string& where, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    fail(error.code(), "[{}] {}", where, error.what());
  }
}

void check_sweepable(const std::string& where, const std::string& name) {
  naming(where, [&] { find_key(name); });
  TAUT_CHECK(name != "seed", "[{}] expected another setting; hint: seeds = [0, 1, 2] or repeats = 3", where);
  TAUT_CHECK(name != "model.strategy", "[{}] expected another setting; hint: study.strategies lists strategies", where);
  TAUT_CHECK(find_key(name).names_run, "[{}] expected a setting that makes another run, which {} does not", where,
             name);
}

double positive(const std::string& where, const Fields& fields, const char* field) {
  const double value = parse_number(where + "." + field, fields.at(field));
  TAUT_CHECK(value > 0, "[{}.{}] expected a number above 0, got {}", where, field, fields.at(field));
  return value;
}

size_t count_of(const std::string& where, double steps) {
  TAUT_CHECK(steps < static_cast<double>(kMostRuns), "[{}] expected at most {} values, got about {:.3g}", where,
             kMostRuns, steps + 1);
  return static_cast<size_t>(std::floor(steps * (1 + kSlack) + kSlack)) + 1;
}

// The function and the number of the values of a range.
struct Range {
  size_t count = 0;
  std::function<double(size_t)> value;
};

Range range_of(const std::string& where, const Fields& fields, double from, double to) {
  const bool by_points = fields.contains("points");
  TAUT_CHECK(fields.contains("step") + fields.contains("factor") + by_points == 1,
             "[{}] expected one of step, factor and points beside from and to", where);
  TAUT_CHECK(by_points || !fields.contains("scale"), "[{}.scale] expected none without points", where);
  if (fields.contains("step")) {
    const double step = positive(where, fields, "step");
    return {count_of(where, (to - from) / step), [=](size_t i) { return from + static_cast<double>(i) * step; }};
  }
  const std::string scale = fields.contains("scale") ? fields.at("scale") : "linear";
  TAUT_CHECK(scale == "linear" || scale == "log", "[{}.scale] expected linear or log, got '{}'", where, scale);
  const bool logarithmic = fields.contains("factor") || scale == "log";
  TAUT_CHECK(!logarithmic || from > 0, "[{}.from] expected a number above 0 for a logarithmic range, got {}", where,
             fields.at("from"));
  if (fields.contains("factor")) {
    const double factor = positive(where, fields, "factor");
    TAUT_CHECK(factor > 1, "[{}.factor] expected a number above 1, got {}", where, fields.at("factor"));
    return {count_of(where, std::log(to / from) / std::log(factor)),
            [=](size_t i) { return from * std::pow(factor, static_cast<double>(i)); }};
  }
  const double points = positive(where, fields, "points");
  TAUT_CHECK(points == std::floor(points) && points >= 2, "[{}.points] expected a whole number of at least 2, got {}",
             where, fields.at("points"));
  const double last = points - 1;
  return {count_of(where, last), [=](size_t i) {
            const double share = static_cast<double>(i) / last;
            return logarithmic ? from * std::pow(to / from, share) : from + (to - from) * share;
          }};
}

// Twelve digits: what is meant, without the rounding of the arithmetic. The ends stay as they were written.
std::vector<std::string> range_values(const std::string& where, const Key& key, const Fields& fields) {
  TAUT_CHECK(key.type == KeyType::kInteger || key.type == KeyType::kNumber,
             "[{}] expected a list of values, since {} is no number; got a range", where, key.name);
  for (const char* end : {"from", "to"})
    TAUT_CHECK(fields.contains(end), "[{}] expected a range from ... to ..., got none of '{}'", where, end);
  const double from = parse_number(where + ".from", fields.at("from")),
               to = parse_number(where + ".to", fields.at("to"));
  TAUT_CHECK(from < to, "[{}] expected a range from a smaller to a larger number, got {} to {}", where,
             fields.at("from"), fields.at("to"));
  const Range range = range_of(where, fields, from, to);
  std::vector<std::string> values;
  for (size_t i = 0; i < range.count; ++i) {
    const double value = range.value(i);
    const bool at_end = std::abs(value - to) <= kSlack * std::max(std::abs(from), std::abs(to));
    if (key.type == KeyType::kNumber) {
      values.push_back(i == 0 ? fields.at("from") : at_end ? fields.at("to") : fmt::format("{:.12g}", value));
      continue;
    }
    const double whole = std::round(value);
    TAUT_CHECK(std::abs(value - whole) <= kSlack * std::max(1.0, std::abs(whole)),
               "[{}] expected whole numbers for {}, the range has {:.6g}; hint: list them", where, key.name, value);
    values.push_back(fmt::format("{:.0f}", whole));
  }
  return values;
}

// As the settings keep them, and each once.
void settle_values(SweepAxis& axis) {
  TAUT_CHECK(!axis.values.empty(), "[{}] expected at least one value, got none", axis.where);
  Config config;
  std::set<std::string> seen;
  for (std::string& value : axis.values) {
    naming(axis.where, [&] { config.set(axis.key, value, Source::kCommandLine); });
    value = config.value_text(axis.key);
    TAUT_CHECK(seen.insert(value).second, "[{}] expected each value once, got {} twice", axis.where, value);
  }
}

// What stands before a value in the name of a run: the last part of the key, or all of it where another axis has that.
std::string short_key(const SweepAxis& axis, const std::vector<const SweepAxis*>& axes) {
  const auto last = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  const bool shared =
      std::ranges::count_if(axes, [&](const SweepAxis* a) { return last(a->key) == last(axis.key); }) > 1;
  return shared ? axis.key : last(axis.key);
}

// "lr0.001"; where values are long or no names, their numbers: "path.2".
std::vector<std::string> labels_of(const SweepAxis& axis, const std::vector<const SweepAxis*>& axes) {
  constexpr size_t kLongest = 16;
  const std::string key = short_key(axis, axes);
  std::vector<std::string> labels;
  bool fit = true;
  for (std::string value : axis.values) {
    std::ranges::replace(value, '/', '_');
    fit = fit && !value.empty() && value.size() <= kLongest && std::ranges::all_of(value, [](unsigned char c) {
            return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '+';
          });
    labels.push_back(key + value);
  }
  fit = fit && std::set<std::string>(labels.begin(), labels.end()).size() == labels.size();
  for (size_t i = 0; !fit && i < labels.size(); ++i) labels[i] = fmt::format("{}.{}", key, i + 1);
  return labels;
}

}  // namespace

std::vector<SweepAxis> take_axes(TomlTable& table, const std::string& prefix, const std::string& file) {
  std::map<std::string, SweepAxis> axes;
  std::map<std::string, Fields> ranges;
  const auto where_of = [&](const std::string& name) { return file + ": " + prefix + name; };
  for (auto it = table.lists.lower_bound(prefix); it != table.lists.end() && it->first.starts_with(prefix);) {
    const std::string name = it->first.substr(prefix.size());
    check_sweepable(where_of(name), name);
    axes[name] = {name, where_of(name), it->second.items};
    table.values.erase(it->first);
    it = table.lists.erase(it);
  }
  for (auto it = table.values.lower_bound(prefix); it != table.values.end() && it->first.starts_with(prefix);) {
    const std::string name = it->first.substr(prefix.size());
    const size_t dot = std::min(name.rfind('.'), name.size());
    const std::string key = name.substr(0, dot), field = name.substr(std::min(dot + 1, name.size()));
    TAUT_CHECK(!is_key(name), "[{}] expected a list of values or a range from ... to ..., got {}", where_of(name),
               it->second);
    TAUT_CHECK(!is_key(key) || std::ranges::count(kFields, field) > 0, "[{}] a range has no '{}'; hint: {}",
               where_of(key), field, did_you_mean(field, kFields));
    check_sweepable(where_of(is_key(key) ? key : name), is_key(key) ? key : name);
    ranges[key][field] = it->second;
    it = table.values.erase(it);
  }
  for (const auto& [key, fields] : ranges)
    axes[key] = {key, where_of(key), range_values(where_of(key), find_key(key), fields)};
  std::vector<SweepAxis> all;
  for (auto& [key, axis] : axes) {
    settle_values(axis);
    all.push_back(std::move(axis));
  }
  return all;
}

size_t count_combinations(const std::vector<const SweepAxis*>& axes) {
  size_t count = 1;
  for (const SweepAxis* axis : axes) {
    TAUT_CHECK(count <= kMostRuns / axis->values.size(), "[{}] expected a sweep of at most {} runs, got more",
               axis->where, kMostRuns);
    count *= axis->values.size();
  }
  return count;
}

std::vector<Combination> combinations(const std::vector<const SweepAxis*>& axes) {
  count_combinations(axes);
  std::vector<Combination> all = {{}};
  for (const SweepAxis* axis : axes) {
    const std::vector<std::string> labels = labels_of(*axis, axes);
    std::vector<Combination> longer;
    for (const Combination& c : all) {
      for (size_t i = 0; i < axis->values.size(); ++i) {
        longer.push_back(c);
        longer.back().settings[axis->key] = axis->values[i];
        longer.back().name += (c.name.empty() ? "" : "-") + labels[i];
      }
    }
    all = std::move(longer);
  }
  constexpr size_t kLongestName = 80;  // with the rest of a run's name, within what file systems allow
  if (std::ranges::any_of(all, [](const Combination& c) { return c.name.size() > kLongestName; }))
    for (size_t i = 0; i < all.size(); ++i) all[i].name = fmt::format("sweep{}", i + 1);
  return all;
}

}  // namespace taut::study
