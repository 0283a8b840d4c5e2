#include "study/store/run_record.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "kernels/error.h"
#include "study/config_keys.h"
#include "study/run/checkpoint.h"
#include "study/run/directory.h"
#include "study/text_file.h"
#include "study/toml.h"
#include "study/untrusted.h"
#include "tensor/sha256.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kResultVersion = 1;  // a result that names none is of the first

SqlValue sql_value(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return std::monostate{};
  if (it->is_boolean()) return static_cast<int64_t>(it->get<bool>());
  if (it->is_number_unsigned() || it->is_number_integer()) return it->get<int64_t>();
  if (it->is_number_float()) return it->get<double>();
  return it->is_string() ? SqlValue(it->get<std::string>()) : SqlValue(it->dump());
}

// JSON writes whole floating-point numbers as 1.0, but other writers do not.
SqlValue sql_real(const Json& object, const char* key) {
  SqlValue value = sql_value(object, key);
  if (const auto* i = std::get_if<int64_t>(&value)) return static_cast<double>(*i);
  return value;
}

// Verdicts "0110..." with image i in bit i mod 8 of byte i / 8.
Blob packed(const std::string& flags) {
  Blob bytes((flags.size() + 7) / 8, 0);
  for (size_t i = 0; i < flags.size(); ++i)
    if (flags[i] == '1') bytes[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
  return bytes;
}

class Reader {
 public:
  Reader(std::string folder, std::string run_id) : folder_(std::move(folder)), run_id_(std::move(run_id)) {}

  RunRecord record() {
    const std::string text = read("result.json");
    try {
      read_result(parse(text, "result.json"));
      read_metrics();
    } catch (const nlohmann::json::exception& error) {
      fail(Exit::kBadData, "[{}/{}] is no result of ours: {}", folder_, file_, error.what());
    }
    record_.sha256 = sum_.hex();
    return std::move(record_);
  }

 private:
  std::string read(const std::string& name) {
    file_ = name;
    std::string text = read_text_file(folder_ + "/" + name);
    sum_.update(fmt::format("{} {}\n", name, text.size()));
    sum_.update(text);
    return text;
  }

  Json parse(const std::string& text, const std::string& what) const {
    Json json = parse_json(text);
    if (!json.is_object()) fail(Exit::kBadData, "[{}/{}] is cut off or no JSON", folder_, what);
    return json;
  }

  void read_result(const Json& json) {
    const int64_t version = json.value("schema", kResultVersion);
    if (version > kResultVersion)
      fail(Exit::kBadData, "[{}/result.json] is of version {}, this program knows {}; hint: a newer program", folder_,
           version, kResultVersion);
    record_.run_id = json.at("run_id");
    if (!run_id_.empty() && record_.run_id != run_id_)
      fail(Exit::kBadData, "[{}/result.json] is of another run, {}", folder_, record_.run_id);
    record_.identity.dataset = json.at("dataset");
    record_.identity.strategy = json.at("strategy");
    record_.identity.variant = json.value("variant", "");
    record_.identity.seed = json.at("seed");
    for (const char* key :
         {"mode", "model", "steps", "classes", "trainable", "total", "images_trained", "train_images", "test_images"})
      record_.result.push_back(sql_value(json, key));
    for (const char* key : {"train_flops", "eval_flops"}) record_.result.push_back(sql_real(json, key));
    for (const char* key : {"config_sha256", "base_sha256", "weights_sha256", "delta_sha256", "forced_resume"})
      record_.result.push_back(sql_value(json, key));
    int64_t position = 0;
    for (const Json& note : json.value("notes", Json::array()))
      record_.rows["note"].push_back({position++, note.get<std::string>()});
    const Json& evaluations = json.at("evaluations");
    if (!evaluations.is_array() || evaluations.empty())
      fail(Exit::kBadData, "[{}/result.json] expected at least one evaluation", folder_);
    int64_t before = -1;
    for (const Json& e : evaluations) {
      const int64_t step = e.at("step");
      if (step <= before)
        fail(Exit::kBadData, "[{}/result.json] expected ascending steps, got {} after {}", folder_, step, before);
      before = step;
      read_evaluation(e, step);
    }
  }

  void read_evaluation(const Json& e, int64_t step) {
    const int64_t n = e.at("n");
    const Json train = e.value("train", Json::object());
    SqlRow point = {step, n};
    for (const char* key : {"clean_correct", "robust_last_correct", "robust_best_correct"}) {
      const int64_t correct = e.at(key);
      if (n < 1 || correct < 0 || correct > n)
        fail(Exit::kBadData, "[{}/result.json] step {}: expected {} of {} images", folder_, step, key, n);
      point.emplace_back(correct);
    }
    for (const char* key : {"mean_loss_clean", "mean_loss_adv", "max_perturbation"}) point.push_back(sql_real(e, key));
    point.push_back(sql_value(train, "n"));
    point.push_back(sql_value(train, "correct"));
    record_.rows["point"].push_back(std::move(point));
    for (const Json& s : e.value("shifted", Json::array()))
      record_.rows["shifted"].push_back(
          {step, s.at("domain").get<std::string>(), s.at("n").get<int64_t>(), s.at("correct").get<int64_t>()});
    for (const Json& c : e.value("checks", Json::array()))
      record_.rows["harness_check"].push_back({step, c.at("name").get<std::string>(), c.at("value").get<std::string>(),
                                               static_cast<int64_t>(c.at("pass").get<bool>())});
    read_verdicts(step, n);
    file_ = "result.json";
  }

  void read_verdicts(int64_t step, int64_t n) {
    const std::string name = "samples/" + checkpoint_name(step) + ".json";
    const Json json = parse(read(name), name);
    SqlRow row = {step, n};
    size_t column = 2;  // of the counts in `point`
    for (const char* key : {"clean", "last", "best"}) {
      const std::string flags = json.at(key);
      const auto ones = std::count(flags.begin(), flags.end(), '1'),
                 zeros = std::count(flags.begin(), flags.end(), '0');
      const int64_t expected = integer_of(record_.rows["point"].back()[column++]);
      if (ones + zeros != n || static_cast<int64_t>(flags.size()) != n || ones != expected)
        fail(Exit::kBadData, "[{}/{}] {}: expected {} verdicts, {} of them right, got {} with {}", folder_, name, key,
             n, expected, flags.size(), ones);
      row.emplace_back(packed(flags));
    }
    record_.rows["sample"].push_back(std::move(row));
  }

  void read_metrics() {
    std::vector<SqlRow>& rows = record_.rows["metric"];
    int64_t number = 0;
    for (const std::string& line : lines_of(read("metrics.jsonl"))) {
      const Json json = parse(line, fmt::format("metrics.jsonl:{}", ++number));
      rows.push_back({json.at("step").get<int64_t>(), json.at("split").get<std::string>(),
                      json.at("metric").get<std::string>(), sql_real(json, "value"), sql_real(json, "low"),
                      sql_real(json, "high"), sql_value(json, "n")});
    }
    const auto key = [](const SqlRow& row) {
      return std::tuple(integer_of(row[0]), std::string_view(text_of(row[1])), std::string_view(text_of(row[2])));
    };
    std::sort(rows.begin(), rows.end(), [&](const SqlRow& a, const SqlRow& b) { return key(a) < key(b); });
    const auto twice = std::adjacent_find(rows.begin(), rows.end(),
                                          [&](const SqlRow& a, const SqlRow& b) { return key(a) == key(b); });
    if (twice != rows.end())
      fail(Exit::kBadData, "[{}/metrics.jsonl] step {} has {} {} twice", folder_, integer_of((*twice)[0]),
           text_of((*twice)[1]), text_of((*twice)[2]));
  }

  std::string folder_, run_id_, file_;
  Sha256 sum_;
  RunRecord record_;
};

}  // namespace

bool RunIdentity::before(const RunIdentity& other) const {
  if (params.empty() != other.params.empty()) return other.params.empty();
  return std::tie(dataset, strategy, variant, seed, params) <
         std::tie(other.dataset, other.strategy, other.variant, other.seed, other.params);
}

RunRecord read_run_record(const std::string& folder, const std::string& run_id) {
  return Reader(folder, run_id).record();
}

bool is_param(const std::string& key) {
  for (const Key& known : all_keys())
    if (known.name == key) return known.names_run;
  return true;  // of another version
}

std::map<std::string, std::string> recorded_params(const std::string& folder) {
  std::map<std::string, std::string> params;
  const std::string path = folder + "/config.resolved.toml";
  if (!fs::exists(path)) return params;
  for (const auto& [key, value] : parse_toml(read_text_file(path), path).values)
    if (is_param(key)) params[key] = value;
  return params;
}

}  // namespace taut::study
