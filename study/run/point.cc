#include "study/run/point.h"

#include <algorithm>
#include <map>
#include <optional>

#include "kernels/error.h"
#include "study/run/checkpoint.h"
#include "study/text_file.h"

namespace taut::study {
namespace {

std::string bits(const std::vector<uint8_t>& flags) {
  std::string text;
  for (const uint8_t f : flags) text += f != 0 ? '1' : '0';
  return text;
}

template <class T>
using TallyField = std::pair<const char*, T attacks::Tally::*>;
constexpr TallyField<double> kTallyNumbers[] = {{"loss_clean", &attacks::Tally::loss_clean},
                                                {"loss_adv", &attacks::Tally::loss_adv},
                                                {"max_perturbation", &attacks::Tally::max_perturbation},
                                                {"low", &attacks::Tally::low},
                                                {"high", &attacks::Tally::high}};
constexpr TallyField<int64_t> kTallyCounts[] = {{"images", &attacks::Tally::images},
                                                {"nonfinite", &attacks::Tally::nonfinite},
                                                {"verdicts_differ", &attacks::Tally::verdicts_differ},
                                                {"unexplained", &attacks::Tally::unexplained},
                                                {"clean_verdicts_differ", &attacks::Tally::clean_verdicts_differ},
                                                {"clean_unexplained", &attacks::Tally::clean_unexplained},
                                                {"steps_not_falling", &attacks::Tally::steps_not_falling},
                                                {"steps", &attacks::Tally::steps},
                                                {"zero_images", &attacks::Tally::zero_images},
                                                {"zero_pixels", &attacks::Tally::zero_pixels},
                                                {"judged_pixels", &attacks::Tally::judged_pixels}};

Json tally_to_json(const attacks::Tally& tally) {
  Json json;
  for (const auto& [name, member] : kTallyCounts) json[name] = tally.*member;
  for (const auto& [name, member] : kTallyNumbers) json[name] = tally.*member;
  return json;
}

attacks::Tally tally_from_json(const Json& json) {
  attacks::Tally tally;
  for (const auto& [name, member] : kTallyCounts) json.at(name).get_to(tally.*member);
  for (const auto& [name, member] : kTallyNumbers) json.at(name).get_to(tally.*member);
  return tally;
}

int64_t ones(const std::string& flags) { return std::count(flags.begin(), flags.end(), '1'); }

// All images of the other domains together, as the study counts them, and beside it the mean of the domains' own
// accuracies. Null where there is no other domain.
Json out_of_domain(const Json& shifted) {
  Json pooled = Json::object();
  double sum = 0;
  int64_t domains = 0;
  for (const Json& s : shifted) {
    if (!s["other_domain"].get<bool>()) continue;
    ++domains;
    for (const char* field : {"n", "correct", "robust_last_correct", "robust_best_correct"})
      if (s.contains(field)) pooled[field] = pooled.value(field, int64_t{0}) + s[field].get<int64_t>();
    sum += s["correct"].get<double>() / s["n"].get<double>();
  }
  if (domains == 0) return nullptr;
  pooled["domains"] = domains;
  pooled["mean_accuracy"] = sum / static_cast<double>(domains);
  return pooled;
}

// Verdicts under attack, clean ones with them.
struct Robust {
  std::string clean, last, best;  // '0' or '1' an image
  attacks::Tally tally;
};

std::string joined(const Json& batches, const char* field) {
  std::string flags;
  for (const Json& b : batches) {
    const auto& more = b.at(field).get_ref<const std::string&>();
    if (static_cast<int64_t>(more.size()) != b.at("n").get<int64_t>() ||
        more.find_first_not_of("01") != std::string::npos)
      fail(Exit::kBadData, "[verdicts] {}: expected {} of 0 or 1, got {} characters", field, b.at("n").dump(),
           more.size());
    flags += more;
  }
  return flags;
}

Robust robust_of(const Json& batches) {
  Robust all{joined(batches, "clean"), joined(batches, "last"), joined(batches, "best"), {}};
  for (const Json& b : batches) all.tally.add(tally_from_json(b.at("tally")));
  return all;
}

// The name without its kind where a split is of that kind: "rotation" of "shift:rotation".
bool named(const std::string& split, const std::string& kind, std::string& name) {
  if (!split.starts_with(kind)) return false;
  name = split.substr(kind.size());
  return true;
}

void add_checks(Json& checks, const std::string& of, const attacks::Tally& tally, const Config& config) {
  for (const auto& c : checks_of(tally, attack_config(config)))
    checks.push_back({{"name", of + c.name}, {"value", c.value}, {"pass", c.pass}});
}

std::vector<Json> metrics_of(int64_t step, const Json& point) {
  std::vector<Json> lines;
  const auto line = [&](const std::string& split, const char* metric, const Json& value) {
    lines.push_back({{"step", step}, {"split", split}, {"metric", metric}, {"value", value}});
  };
  const auto accuracy = [&](const std::string& split, const std::string& metric, int64_t correct, int64_t n) {
    const attacks::Interval i = attacks::binomial_interval(correct, n);
    lines.push_back({{"step", step},
                     {"split", split},
                     {"metric", metric},
                     {"value", n > 0 ? static_cast<double>(correct) / static_cast<double>(n) : 0.0},
                     {"low", i.low},
                     {"high", i.high},
                     {"n", n}});
  };
  const auto n = point["n"].get<int64_t>();
  for (const char* field : {"clean", "robust_last", "robust_best"})
    accuracy("test", std::string(field) + "_accuracy", point[std::string(field) + "_correct"].get<int64_t>(), n);
  for (const char* field : {"mean_loss_clean", "mean_loss_adv", "max_perturbation", "zero_gradient_share"})
    line("test", field, point[field]);
  for (const Json& s : point["shifted"]) {
    const std::string split = (s["other_domain"].get<bool>() ? "domain:" : "shift:") + s["domain"].get<std::string>();
    accuracy(split, "clean_accuracy", s["correct"].get<int64_t>(), s["n"].get<int64_t>());
    for (const char* field : {"robust_last", "robust_best"})
      if (s.contains(std::string(field) + "_correct"))
        accuracy(split, std::string(field) + "_accuracy", s[std::string(field) + "_correct"].get<int64_t>(),
                 s["n"].get<int64_t>());
  }
  if (point.contains("out_of_domain")) {
    const Json& pooled = point["out_of_domain"];
    accuracy("out_of_domain", "clean_accuracy", pooled["correct"].get<int64_t>(), pooled["n"].get<int64_t>());
    line("out_of_domain", "mean_clean_accuracy", pooled["mean_accuracy"]);
    for (const char* field : {"robust_last", "robust_best"})
      if (pooled.contains(std::string(field) + "_correct"))
        accuracy("out_of_domain", std::string(field) + "_accuracy",
                 pooled[std::string(field) + "_correct"].get<int64_t>(), pooled["n"].get<int64_t>());
  }
  if (point.contains("train"))
    accuracy("train", "clean_accuracy", point["train"]["correct"].get<int64_t>(), point["train"]["n"].get<int64_t>());
  return lines;
}

PointRecord assembled(const Config& config, int64_t step, const Json& verdicts) {
  const Robust test = robust_of(verdicts.at("test"));
  const auto n = static_cast<int64_t>(test.clean.size());
  PointRecord p;
  p.result = {{"step", step},
              {"n", n},
              {"clean_correct", ones(test.clean)},
              {"robust_last_correct", ones(test.last)},
              {"robust_best_correct", ones(test.best)},
              {"mean_loss_clean", test.tally.mean_loss_clean()},
              {"mean_loss_adv", test.tally.mean_loss_adv()},
              {"max_perturbation", test.tally.max_perturbation},
              {"zero_gradient_share", test.tally.zero_gradient_share()},
              {"loss_increase_share", test.tally.loss_increase_share()},
              {"shifted", Json::array()}};
  Json checks = Json::array(), domains = Json::array();
  add_checks(checks, "", test.tally, config);
  std::string name;
  for (const auto& [split, batches] : verdicts.items()) {
    const bool other_domain = named(split, "domain:", name);
    if (other_domain || named(split, "shift:", name)) {
      const std::string clean = joined(batches, "clean");
      const auto images = static_cast<int64_t>(clean.size());
      p.result["shifted"].push_back(
          {{"domain", name}, {"n", images}, {"correct", ones(clean)}, {"other_domain", other_domain}});
      domains.push_back({{"domain", name}, {"n", images}, {"clean", clean}});
    } else if (named(split, "attack:", name)) {
      const Robust attacked = robust_of(batches);
      p.result["shifted"].back()["robust_last_correct"] = ones(attacked.last);
      p.result["shifted"].back()["robust_best_correct"] = ones(attacked.best);
      domains.back()["last"] = attacked.last;
      domains.back()["best"] = attacked.best;
      add_checks(checks, name + ": ", attacked.tally, config);
    }
  }
  const Json pooled = out_of_domain(p.result["shifted"]);
  if (!pooled.is_null()) p.result["out_of_domain"] = pooled;
  if (verdicts.contains("train")) {
    const std::string clean = joined(verdicts["train"], "clean");
    p.result["train"] = {{"n", clean.size()}, {"correct", ones(clean)}};
  }
  p.result["checks"] = checks;
  p.samples = {{"step", step}, {"n", n}, {"clean", test.clean}, {"last", test.last}, {"best", test.best}};
  if (!domains.empty()) p.samples["shifted"] = domains;
  p.metrics = metrics_of(step, p.result);
  return p;
}

// As it was asked for, before the attack settles what it does not read.
attacks::AttackConfig asked_attack(const Config& config) {
  attacks::AttackConfig a;
  a.name = config.text("attack.name");
  a.norm = config.text("attack.norm") == "l2" ? attacks::Norm::kL2 : attacks::Norm::kLinf;
  a.eps = config.number("attack.eps");
  a.alpha = config.number("attack.alpha");
  a.steps = config.integer("attack.steps");
  a.random_start = config.flag("attack.random_start");
  a.loss = config.text("attack.loss") == "margin" ? attacks::Loss::kMargin : attacks::Loss::kCrossEntropy;
  a.restarts = config.integer("attack.restarts");
  a.targets = config.integer("attack.targets");
  return a;
}

using Refusals = std::map<std::string, std::string>;  // by key

// Settings that were given for this attack and which it does not read.
Refusals unread_attack_settings(const Config& config) {
  if (!is_attacked(config)) return {};
  const attacks::AttackConfig asked = asked_attack(config), runs = attacks::resolve(asked);
  // A file, and presets anyway, may be for several attacks: what they say for another one than was named is passed
  // over.
  const Source least = config.source("attack.name") > Source::kFile ? Source::kEnvironment : Source::kFile;
  Refusals refusals;
  const auto refuse = [&](const char* key, bool is_read, const char* hint) {
    if (is_read || config.source(key) < least) return;
    refusals[key] = fmt::format("[{}] the attack {} does not take {} there; hint: {}", key, asked.name,
                                config.value_text(key), hint);
  };
  refuse("attack.steps", runs.steps == asked.steps, "it is one step; bim takes attack.steps");
  refuse("attack.alpha", runs.alpha == asked.alpha, "its step is attack.eps; bim takes attack.alpha");
  refuse("attack.random_start", runs.random_start == asked.random_start, "pgd starts at a random point");
  refuse("attack.loss", runs.loss == asked.loss, "it ascends the margin to each target; pgd takes attack.loss");
  refuse("attack.restarts", runs.restarts == asked.restarts,
         "without a random start all attempts are the same; pgd and mtpgd have one");
  refuse("attack.targets", runs.targets == asked.targets, "mtpgd attempts targets");
  return refusals;
}

}  // namespace

attacks::AttackConfig attack_config(const Config& config) { return attacks::resolve(asked_attack(config)); }

void refuse_unread_attack_settings(const Config& config) {
  if (const auto unread = unread_attack_settings(config); !unread.empty())
    fail(Exit::kUsage, "{}", unread.begin()->second);
}

void refuse_unread_attack_settings(const Plan& plan) {
  std::optional<Refusals> unread;
  for (const PlanRow& row : plan.rows) {
    if (!is_attacked(row.config)) continue;
    const Refusals its = unread_attack_settings(row.config);
    if (unread)
      std::erase_if(*unread, [&](const auto& refusal) { return !its.contains(refusal.first); });
    else
      unread = its;
  }
  if (unread && !unread->empty()) fail(Exit::kUsage, "{}", unread->begin()->second);
}

Json batch_of(const attacks::RobustResult& r) {
  return {{"n", r.n},
          {"clean", bits(r.clean_ok)},
          {"last", bits(r.last_ok)},
          {"best", bits(r.best_ok)},
          {"tally", tally_to_json(r.tally)}};
}

Json batch_of(const attacks::CleanResult& r) { return {{"n", r.n}, {"clean", bits(r.correct)}}; }

int64_t images_in(const Json& batches) {
  int64_t n = 0;
  for (const Json& b : batches) n += b.at("n").get<int64_t>();
  return n;
}

PointRecord point_of(const Config& config, int64_t step, const Json& verdicts) {
  try {
    return assembled(config, step, verdicts);
  } catch (const nlohmann::json::exception& error) {
    fail(Exit::kBadData, "[verdicts] of step {} cannot be understood: {}", step, error.what());
  }
}

Json record(const PointRecord& point, RunDirectory& directory) {
  make_folder(directory.file("samples"));
  directory.write("samples/" + checkpoint_name(point.result.at("step")) + ".json", point.samples.dump() + "\n");
  for (const Json& line : point.metrics) directory.append_metric(line);
  return point.result;
}

}  // namespace taut::study
