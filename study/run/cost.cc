#include "study/run/cost.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "attacks/attack.h"
#include "data/import/known.h"
#include "finetune/strategy.h"
#include "study/run/model.h"
#include "study/run/point.h"
#include "study/run/run.h"
#include "study/schedule.h"

namespace taut::study {
namespace {

// Forward passes that judging an attacked image costs beside the attack's steps.
double judging_passes(const attacks::AttackConfig& attack) {
  return attacks::attack_passes(attack) - static_cast<double>(2 * attacks::attempts_of(attack) * attack.steps);
}

// Images that an evaluation attacks, and those it only classifies.
struct Judged {
  double attacked = 0, classified = 0;
};

Judged judged(const Config& config, const DataSizes& sizes) {
  const double elsewhere = static_cast<double>(sizes.elsewhere);
  return {static_cast<double>(sizes.test) + (config.flag("eval.domains_attack") ? elsewhere : 0),
          static_cast<double>(sizes.train_sample + sizes.shifted) + elsewhere};
}

// Train and test images that `domain` has, or the whole set where that is empty.
struct Split {
  int64_t train = 0, test = 0;
};

std::optional<Split> known_split(const KnownDataset& known, const std::string& domain) {
  if (!domain.empty()) {
    const auto it = std::ranges::find_if(known.domains, [&](const KnownDomain& d) { return d.name == domain; });
    return it == known.domains.end() ? std::nullopt : std::optional(Split{it->train, it->test});
  }
  if (known.train > 0) return Split{known.train, known.test};
  // An import draws a fifth for testing.
  return known.images > 0 ? std::optional(Split{known.images - known.images / 5, known.images / 5}) : std::nullopt;
}

int64_t at_most(int64_t n, int64_t limit) { return limit > 0 ? std::min(n, limit) : n; }

}  // namespace

DataSizes sizes_of(const RunData& data) {
  const auto size = [](const StorePtr& store) { return store == nullptr ? 0 : store->size(); };
  DataSizes sizes{.train = size(data.train),
                  .validation = size(data.validation),
                  .test = size(data.test),
                  .train_sample = size(data.train_sample)};
  for (const ShiftedData& s : data.shifted) (s.other_domain ? sizes.elsewhere : sizes.shifted) += s.store->size();
  return sizes;
}

std::optional<DataSizes> known_sizes(const Config& config) {
  const std::string name = std::filesystem::path(config.text("data.path")).filename().string();
  const auto known = std::ranges::find_if(known_datasets(), [&](const KnownDataset& k) { return k.name == name; });
  if (known == known_datasets().end() || !config.integers("data.classes").empty()) return std::nullopt;
  const std::string& own = config.text("data.domain");
  const std::optional<Split> split = known_split(*known, own);
  if (!split) return std::nullopt;

  DataSizes sizes;
  const int64_t pool = at_most(split->train, config.integer("data.train_limit"));
  const double share = config.number("data.validation");
  sizes.validation = static_cast<int64_t>(share < 1 ? std::ceil(share * static_cast<double>(pool) - 1e-9) : share);
  sizes.train = pool - sizes.validation;
  sizes.train_sample = std::min(config.integer("eval.train_n"), sizes.train);
  const int64_t limit = config.integer("data.limit"), per_class = config.integer("eval.per_class");
  const auto tested = [&](int64_t n) { return at_most(at_most(n, config.integer("eval.n")), limit); };
  sizes.test = per_class > 0 ? at_most(per_class * known->classes, limit) : tested(split->test);
  sizes.shifted = sizes.test * static_cast<int64_t>(config.texts("eval.shifts").size());
  const std::vector<std::string> wanted = config.texts("eval.domains");
  const bool all = wanted == std::vector<std::string>{"all"};
  for (const KnownDomain& domain : known->domains)
    if (domain.name != own && (all || std::ranges::count(wanted, domain.name) > 0))
      sizes.elsewhere += tested(domain.test);
  return sizes;
}

double evaluation_passes(const Config& config, const DataSizes& sizes) {
  const Judged images = judged(config, sizes);
  return images.attacked * attacks::attack_passes(attack_config(config)) + images.classified;
}

RunCost cost_of(const PlanRow& row, const DataSizes& sizes) {
  const Config& config = row.config;
  const finetune::Strategy& strategy = finetune::strategy(row.strategy);
  const bool once = strategy.reach() == finetune::Reach::kHead;  // FeatureCache
  const bool by_epochs = config.integer("train.steps") == 0 && !config.flag("train.replacement");
  const int64_t batch = config.integer("train.batch");
  RunCost cost;
  cost.updates = total_steps(config, sizes.train);
  const auto points = evaluation_points(config.text("eval.schedule"), config.integers("eval.points"), cost.updates);
  cost.evaluations = static_cast<int64_t>(points.size());
  const auto evaluations = static_cast<double>(cost.evaluations), train = static_cast<double>(sizes.train);
  const double trained = by_epochs ? train * static_cast<double>(config.integer("train.epochs"))
                                   : static_cast<double>(cost.updates * batch);
  // Mode official judges the validation images after every epoch, the last one cut short or not.
  const int64_t an_epoch = (sizes.train + batch - 1) / batch;
  const double validated = config.text("study.mode") == "official"
                               ? static_cast<double>((cost.updates + an_epoch - 1) / an_epoch * sizes.validation)
                               : 0;
  const Judged images = judged(config, sizes);
  cost.images = trained + evaluations * (static_cast<double>(sizes.test) + images.classified) + validated;

  const attacks::AttackConfig attack = attack_config(config);
  cost.training = once ? std::min(trained, train) : trained * training_passes(strategy);
  cost.attacking = evaluations * images.attacked * static_cast<double>(2 * attacks::attempts_of(attack) * attack.steps);
  // All training images have their features after an epoch.
  const double seen = once && sizes.train_sample == sizes.train ? std::min(trained, train) : 0;
  const double classified = once ? std::max(0.0, images.classified - seen) : evaluations * images.classified;
  cost.judging = evaluations * images.attacked * judging_passes(attack) + classified + validated;
  return cost;
}

}  // namespace taut::study
