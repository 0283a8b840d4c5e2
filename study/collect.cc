#include "study/collect.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "finetune/strategy.h"
#include "kernels/error.h"
#include "study/analysis.h"
#include "study/bootstrap.h"
#include "study/run/checkpoint.h"
#include "study/run/directory.h"
#include "study/run/evaluate.h"
#include "study/run/point.h"
#include "study/run/stored_result.h"
#include "study/schedule.h"
#include "study/study.h"
#include "study/text_file.h"
#include "study/untrusted.h"
#include "tensor/safetensors.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

std::vector<uint8_t> flags(const std::string& text) {
  std::vector<uint8_t> out;
  for (const char c : text) out.push_back(c == '1');
  return out;
}

// The verdicts on the images of other domains; those on changed test images are not needed.
void read_domain_verdicts(const Json& domains, const std::string& file, Point& point) {
  for (const Json& d : domains) {
    const std::string name = d.at("domain");
    const auto shift = std::ranges::find(point.shifted, name, &ShiftedCount::domain);
    if (shift == point.shifted.end() || !shift->other_domain) continue;
    const std::vector<uint8_t> ok = flags(d.at("clean"));
    if (static_cast<int64_t>(ok.size()) != shift->n || std::count(ok.begin(), ok.end(), 1) != shift->correct)
      fail(Exit::kBadData, "[{}] {}: expected {} verdicts, {} of them right", file, name, shift->n, shift->correct);
    shift->clean_ok = pack_bits(ok);
  }
}

Point read_point(const Json& json, const std::string& run) {
  Point p;
  p.step = json.at("step");
  p.n = json.at("n");
  p.clean_correct = json.at("clean_correct");
  p.robust_last_correct = json.at("robust_last_correct");
  p.robust_best_correct = json.at("robust_best_correct");
  p.mean_loss_clean = json.at("mean_loss_clean");
  p.mean_loss_adv = json.at("mean_loss_adv");
  if (json.contains("train")) {
    p.train_n = json["train"].at("n");
    p.train_correct = json["train"].at("correct");
  }
  for (const Json& s : json.at("shifted")) {
    p.shifted.push_back({s.at("domain"), s.at("n"), s.at("correct"), s.value("other_domain", false), {}});
    if (s.contains("robust_last_correct")) p.shifted.back().robust_last = s["robust_last_correct"].get<int64_t>();
  }
  const std::string file = run + "/samples/" + checkpoint_name(p.step) + ".json";
  const Json samples = read_json(file);
  p.clean_ok = flags(samples.at("clean"));
  p.robust_last_ok = flags(samples.at("last"));
  p.robust_best_ok = flags(samples.at("best"));
  for (const auto& list : {p.clean_ok, p.robust_last_ok, p.robust_best_ok})
    if (static_cast<int64_t>(list.size()) != p.n) fail(Exit::kBadData, "[{}] expected {} verdicts", file, p.n);
  if (samples.contains("shifted")) read_domain_verdicts(samples["shifted"], file, p);
  return p;
}

// Every check of every evaluation, in the order they ran.
std::vector<Check> read_checks(const Json& evaluations) {
  std::vector<Check> out;
  for (const Json& e : evaluations)
    for (const Json& c : e.at("checks"))
      out.push_back({c.at("name"), fmt::format("step {}: {}", e.at("step").dump(), c.at("value").get<std::string>()),
                     c.at("pass")});
  return out;
}

std::vector<Sample> read_samples(const std::string& file) {
  std::vector<Sample> samples;
  if (!fs::exists(file)) return samples;
  const SafetensorsFile stored = SafetensorsFile::open(file);
  const Tensor clean = stored.read("clean"), adversarial = stored.read("adversarial"), label = stored.read("label"),
               before = stored.read("clean_prediction"), after = stored.read("adversarial_prediction");
  for (int64_t i = 0; i < clean.size(0); ++i) {
    const auto pixels = [&](const Tensor& t) {
      const Tensor one = t.slice(0, i, 1).contiguous();
      return std::vector<float>(one.data<float>(), one.data<float>() + one.numel());
    };
    samples.push_back({clean.size(1), clean.size(2), clean.size(3), pixels(clean), pixels(adversarial),
                       label.data<int64_t>()[i], before.data<int64_t>()[i], after.data<int64_t>()[i]});
  }
  return samples;
}

// None where they cannot be understood: images are looked at, and no number comes from them.
std::vector<Sample> samples_or_none(const std::string& file) {
  try {
    return read_samples(file);
  } catch (const Error& error) {
    if (error.code() == Exit::kIo) throw;
    return {};
  }
}

void read_timing(const std::string& file, RunResult& run) {
  if (!fs::exists(file)) return;
  for (const std::string& line : lines_of(read_text_file(file))) {
    const Json json = parse_json(line);
    if (!json.is_object()) continue;  // a last line that a kill cut off
    auto& seconds = json.value("what", "") == "train" ? run.train_seconds : run.eval_seconds;
    seconds = seconds.value_or(0) + json.value("seconds", 0.0);
  }
}

std::string recipe(const Config& c, int64_t steps) {
  const double clip = c.number("train.clip");
  return fmt::format("AdamW, {} updates of {} images, lr {}, decay {}, {}{}", steps, c.integer("train.batch"),
                     c.number("train.lr"), c.number("train.weight_decay"), c.text("train.schedule"),
                     clip > 0 ? fmt::format(", clipped at {}", clip) : ", no clipping");
}

std::string warm_up(const Config& c, int64_t steps) {
  const int64_t warmup = c.integer("train.warmup");
  if (warmup == 0) return "No warm-up.";
  const bool scaled = steps < kProtocolSteps && warmup == scaled_warmup(steps);
  return fmt::format("Warm-up{} of {} in {} updates (the study: {} in {}).", scaled ? ", scaled with the length," : "",
                     warmup, steps, kProtocolWarmup, kProtocolSteps);
}

// What the plan and `study_status` say of a run.
RunResult planned_run(const PlanRow& row, const std::string& state, const std::string& error) {
  RunResult r;
  r.run_id = row.run_id;
  r.dataset = row.dataset;
  r.strategy = row.strategy;
  r.variant = row.variant;
  r.seed = static_cast<uint64_t>(row.config.integer("seed"));
  r.state = state == "done"      ? RunState::kDone
            : state == "running" ? RunState::kRunning
            : state == "failed"  ? RunState::kFailed
                                 : RunState::kTodo;
  r.error = error;
  r.attacked = is_attacked(row.config);
  r.steps = row.config.integer("train.steps");
  r.recipe = recipe(row.config, r.steps);
  r.warm_up = warm_up(row.config, r.steps);
  return r;
}

// What the run's folder says of it. Throws Error, or a json::exception, where that cannot be understood.
RunResult read_run(const PlanRow& row, const std::string& run, RunResult r) {
  Json evaluations = Json::array();
  if (r.state == RunState::kDone) {
    const Json result = read_json(run + "/result.json");
    if (!result.is_object()) fail(Exit::kBadData, "[{}/result.json] expected an object", run);
    r.steps = result.at("steps");
    r.classes = result.at("classes");
    r.class_names = result.at("class_names").get<std::vector<std::string>>();
    r.trainable = result.at("trainable");
    r.total = result.at("total");
    r.train_flops = result.at("train_flops");
    r.eval_flops = result.at("eval_flops");
    r.images_trained = result.at("images_trained");
    evaluations = result.at("evaluations");
  } else if (const auto last = read_last_checkpoint(run, [](const std::string&) {})) {
    evaluations = last->state.at("evaluations");
  }
  for (const Json& e : evaluations) r.points.push_back(read_point(e, run));
  if (!r.attacked)
    for (Point& p : r.points)
      for (ShiftedCount& s : p.shifted) s.robust_last.reset();
  r.checks = read_checks(evaluations);
  read_timing(run + "/timing.jsonl", r);
  r.recipe = recipe(row.config, r.steps);
  r.warm_up = warm_up(row.config, r.steps);
  check_run(r);
  return r;
}

// A run whose files are damaged or missing is a failed one, as in a merged store: it hides no other.
RunResult read_or_failed(const PlanRow& row, const std::string& run, RunResult planned) {
  try {
    return read_run(row, run, planned);
  } catch (const nlohmann::json::exception& error) {
    planned.error = fmt::format("cannot be understood: {}", error.what());
  } catch (const Error& error) {
    if (error.code() == Exit::kIo) throw;
    planned.error = named_within(error.what(), run);
  }
  planned.state = RunState::kFailed;
  return planned;
}

// Of the first run that is attacked.
std::string attack_phrase(const Plan& plan) {
  const auto row = std::ranges::find_if(plan.rows, is_attacked, &PlanRow::config);
  if (row == plan.rows.end()) return "none, accuracy on images as they are";
  const Config& c = row->config;
  const attacks::AttackConfig a = attack_config(c);
  std::string name = a.name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char ch) { return std::toupper(ch); });
  std::string more = a.loss == attacks::Loss::kMargin ? ", margin loss" : "";
  if (a.targets > 0) more += fmt::format(", at most {} targets", a.targets);
  if (a.restarts > 1) more += fmt::format(", {} restarts", a.restarts);
  return fmt::format("{}-{}, {}, eps {}, alpha {}, {} start{}", name, a.steps,
                     a.norm == attacks::Norm::kLinf ? "L-infinity" : "L2", c.value_text("attack.eps"),
                     a.name == "fgsm" ? c.value_text("attack.eps") : c.value_text("attack.alpha"),
                     a.random_start ? "uniform random" : "clean", more);
}

// What runs with one value of a setting have in common: strategies, or data sets, or each run's own name.
std::string whose(const Plan& plan, const std::string& key, const std::string& value) {
  const auto names_of = [&](const auto& part, bool with_value) {
    std::set<std::string> names;
    for (const PlanRow& row : plan.rows)
      if ((row.config.value_text(key) == value) == with_value) names.insert(part(row));
    return names;
  };
  const auto decides = [&](const auto& part) {
    std::set<std::string> with = names_of(part, true), both;
    std::ranges::set_intersection(with, names_of(part, false), std::inserter(both, both.end()));
    return both.empty() ? with : std::set<std::string>{};
  };
  std::set<std::string> names = decides([](const PlanRow& row) { return row.strategy; });
  if (names.empty()) names = decides([](const PlanRow& row) { return row.dataset; });
  if (names.empty()) names = names_of([](const PlanRow& row) { return row.run_id; }, true);
  std::string text;
  for (const std::string& n : names) text += (text.empty() ? "" : ", ") + n;
  return text;
}

// Every setting that names a run: once where all runs share it, else once for each of its values, or, of a sweep, a
// line for all of them.
constexpr size_t kMostValues = 12;
std::vector<Setting> settings_of(const Plan& plan) {
  std::vector<Setting> settings;
  for (const Key& key : all_keys()) {
    const auto value = [&](const PlanRow& row) { return row.config.value_text(key.name); };
    const std::string first = value(plan.rows.front());
    const bool shared = std::ranges::all_of(plan.rows, [&](const PlanRow& row) { return value(row) == first; });
    const auto source = plan.rows.front().config.source(key.name);
    if (!key.names_run || key.name == "model.strategy") continue;
    if (shared) {
      settings.push_back({key.name, first, source == Source::kHint});
      continue;
    }
    std::vector<std::string> values;
    std::set<std::string> seen;
    for (const PlanRow& row : plan.rows)
      if (seen.insert(value(row)).second) values.push_back(value(row));
    if (values.size() > kMostValues) {
      settings.push_back(
          {key.name,
           fmt::format("{} values: {}, {}, {}, ... {}", values.size(), values[0], values[1], values[2], values.back()),
           source == Source::kHint});
      continue;
    }
    seen.clear();
    for (const PlanRow& row : plan.rows) {
      if (!seen.insert(value(row)).second) continue;
      settings.push_back({key.name, whose(plan, key.name, value(row)) + ": " + value(row),
                          row.config.source(key.name) == Source::kHint});
    }
  }
  return settings;
}

void add_unattacked(const Plan& plan, StudyResults& results) {
  std::vector<std::string> datasets;
  for (const PlanRow& row : plan.rows)
    if (!is_attacked(row.config) && std::ranges::count(datasets, row.dataset) == 0) datasets.push_back(row.dataset);
  if (!datasets.empty())
    results.notes.push_back(
        fmt::format("not attacked, so that there is no robust accuracy and no area: {}", fmt::join(datasets, ", ")));
}

void add_probes(const std::string& folder, StudyResults& results) {
  if (!fs::exists(folder + "/probes.json")) return;
  for (const Json& p : read_json(folder + "/probes.json")) {
    const double n = p.at("n"), with = p.at("pretrained_correct"), without = p.at("random_correct");
    const double gain = 100 * (with - without) / n;
    const std::string text = fmt::format(
        "{:.1f} % from the pre-trained, {:.1f} % from a random backbone: {:+.1f} points (400 updates at 0.1)",
        100 * with / n, 100 * without / n, gain);
    const std::string dataset = p.at("dataset");
    results.notes.push_back(dataset + ": linear probe " + text);
    for (RunResult& r : results.runs)
      if (r.dataset == dataset && r.strategy == "lp")
        r.checks.push_back({"pre-training gain >= 15 points", text, gain >= 15});
  }
}

}  // namespace

StudyResults collect(const Plan& plan, const std::string& folder) {
  StudyResults results;
  const Config& first = plan.rows.front().config;
  results.title = plan.title;
  results.mode = first.text("study.mode");
  results.attack = attack_phrase(plan);
  results.settings = settings_of(plan);
  if (fs::exists(folder + "/commands.txt")) results.commands = lines_of(read_text_file(folder + "/commands.txt"));
  std::map<std::string, std::pair<std::string, std::string>> states;  // of a run: state, error
  for (const Row& s : study_status(folder)) states[s["run_id"]] = {s["state"], s["error"]};
  std::set<std::pair<std::string, std::string>> with_images;
  for (const PlanRow& row : plan.rows) {
    const std::string run = folder + "/runs/" + row.run_id;
    const auto it = states.find(row.run_id);
    const auto& [state, error] = it != states.end() ? it->second : std::pair<std::string, std::string>("todo", "");
    results.runs.push_back(read_or_failed(row, run, planned_run(row, state, error)));
    // The report shows the images of a strategy's first run; those of hundreds would fill the memory.
    RunResult& added = results.runs.back();
    if (added.state == RunState::kDone && added.attacked && !with_images.contains({row.dataset, row.strategy})) {
      added.samples = samples_or_none(run + "/samples/images.safetensors");
      if (!added.samples.empty()) with_images.insert({row.dataset, row.strategy});
    }
    for (const std::string& note : row.notes)
      if (std::ranges::find(results.notes, note) == results.notes.end()) results.notes.push_back(note);
  }
  add_unattacked(plan, results);
  add_probes(folder, results);
  return results;
}

}  // namespace taut::study
