// Exports are read back, by readers written here from the formats' descriptions.
#include "study/export/export.h"

#include <cmath>
#include <cstring>
#include <map>

#include "study/export/runs.h"
#include "study/export/tensorboard.h"
#include "study/run/directory.h"
#include "study/store/schema.h"
#include "study/store/store.h"
#include "tests/study/made_study.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

const MadeStudy kSmall{.datasets = {"fine"}, .strategies = {"full", "lora"}};

std::map<std::string, std::string> exported(Database& store, void (*write)(Database&, const ExportSink&)) {
  std::map<std::string, std::string> files;
  write(store, [&](const std::string& path, const std::string& bytes) {
    CHECK(!files.contains(path));
    files[path] = bytes;
  });
  return files;
}

// A store of two runs whose names no file system, spreadsheet or page should take at their word.
Database hostile_store() {
  Database store = Database::in_memory();
  make_store(store);
  for (const std::string& id : {std::string("../../<script>"), std::string("..:..:<script>")}) {
    store.rows(
        "INSERT INTO run (run_id, dataset, strategy, variant, seed, state, error, model, classes, total) VALUES "
        "(?, '=cmd()', '@SUM(1,\"2\")', '-1+1', 0, 'done', '', '+model', 5, 1000000)",
        {id});
    store.rows("INSERT INTO point VALUES (?, 3, 10, 8, 4, 4, 0.5, 1.5, NULL, NULL, NULL)", {id});
    store.rows("INSERT INTO metric VALUES (?, 3, 'te\"st', 'x</script>', NULL, NULL, NULL, NULL)", {id});
    store.rows("INSERT INTO metric VALUES (?, 3, 'test', 'y', 0.25, NULL, NULL, NULL)", {id});
  }
  store.rows(
      "INSERT INTO run (run_id, dataset, strategy, variant, seed, state, error) VALUES ('lost', 'd', 's', 'v', 1, "
      "'failed', '=HYPERLINK(\"http://x\"),\nsecond line')");
  return store;
}

// RFC 4180.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, std::vector<std::string>(1));
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back().back() += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.emplace_back(1);
    } else {
      rows.back().back() += c;
    }
  }
  CHECK(!quoted);
  rows.pop_back();  // after the last line feed
  return rows;
}

TEST_CASE("study-json: names, keys and numbers of the released code") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  Database store = store_of({folder / "s"});
  const auto files = exported(store, export_study_json);
  REQUIRE(files.size() == 2);
  REQUIRE(files.contains("fine_lora_0.0005_0.01_0_trade-off_step.json"));
  const Json list = Json::parse(files.at("fine_lora_0.0005_0.01_0_trade-off_step.json"));
  REQUIRE(list.size() == 5);
  const Json result = read_json(folder / "s/runs/" + plan.rows[1].run_id + "/result.json");
  for (size_t i = 0; i < list.size(); ++i) {
    const Json& e = result["evaluations"][i];
    CHECK(list[i].at("step") == e["step"]);
    CHECK(list[i].at("epoch").get<double>() == doctest::Approx(e["step"].get<double>() * 128 / 640));
    CHECK(list[i].at("learning_rate") == 5e-4);
    CHECK(list[i].at("test_clean_acc").get<double>() == e["clean_correct"].get<double>() / 60);
    CHECK(list[i].at("pgd_adv_acc").get<double>() == e["robust_last_correct"].get<double>() / 60);
    CHECK(list[i].at("pgd_loss") == e["mean_loss_adv"]);
    CHECK(!list[i].contains("train_clean_acc"));  // not measured
  }
}

TEST_CASE("timm-csv: its columns, and text that no spreadsheet takes for a formula") {
  const TempFolder folder;
  make_study(folder / "s", kSmall);
  Database store = store_of({folder / "s"});
  const auto rows = parse_csv(exported(store, export_timm_csv).at(""));
  REQUIRE(rows.size() == 3);
  const std::vector<std::string> head(rows[0].begin(), rows[0].begin() + 9);
  CHECK(head == std::vector<std::string>{"model", "img_size", "top1", "top1_err", "top5", "top5_err", "param_count",
                                         "crop_pct", "interpolation"});
  CHECK(rows[1][0] == "vit_demo");
  CHECK(!rows[1][1].empty());
  CHECK(std::stod(rows[1][2]) + std::stod(rows[1][3]) == doctest::Approx(100).epsilon(1e-4));
  CHECK(rows[1][6] == "0.11");
  CHECK(rows[1][17] == "ok");

  Database hostile = hostile_store();
  const auto spoiled = parse_csv(exported(hostile, export_timm_csv).at(""));
  REQUIRE(spoiled.size() == 4);
  for (const auto& row : spoiled) {
    REQUIRE(row.size() == rows[0].size());
    for (const std::string& cell : row) CHECK((cell.empty() || std::string("=+-@").find(cell[0]) == std::string::npos));
  }
  CHECK(spoiled[1][12] == "'=cmd()");
  CHECK(spoiled[1][13] == "'@SUM(1,\"2\")");
  CHECK(spoiled[3][18] == "'=HYPERLINK(\"http://x\"),\nsecond line");
  CHECK(spoiled[3][17] == "error");
}

TEST_CASE("robustbench: a model_info file a run, percentages as text, no number of an attack that did not run") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  Database store = store_of({folder / "s"});
  const auto files = exported(store, export_robustbench);
  REQUIRE(files.size() == 2);
  const Json info = Json::parse(files.at(plan.rows[0].run_id + ".json"));
  for (const char* field : {"link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue",
                            "architecture", "eps", "clean_acc", "reported", "autoattack_acc", "unreliable"})
    CHECK(info.contains(field));
  CHECK(info["eps"] == "1/255");
  CHECK(info["autoattack_acc"].is_null());
  CHECK(info["unreliable"] == false);
  const double clean = number_of(store.rows("SELECT final_clean FROM v_run")[0][0]);
  CHECK(std::stod(info["clean_acc"].get<std::string>()) == doctest::Approx(100 * clean).epsilon(1e-3));
  store.rows("INSERT INTO harness_check VALUES (?, 64, 'range', 'outside', 0)", {plan.rows[0].run_id});
  CHECK(Json::parse(exported(store, export_robustbench).at(plan.rows[0].run_id + ".json"))["unreliable"] == true);
}

// --- TensorBoard ---

uint64_t little(const std::string& bytes, size_t at, int n) {
  uint64_t v = 0;
  for (int i = 0; i < n; ++i)
    v |= static_cast<uint64_t>(static_cast<uint8_t>(bytes.at(at + static_cast<size_t>(i)))) << (8 * i);
  return v;
}

std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = static_cast<size_t>(little(file, at, 8));
    CHECK(little(file, at + 8, 4) == masked_crc32c(file.substr(at, 8)));
    records.push_back(file.substr(at + 12, length));
    CHECK(little(file, at + 12 + length, 4) == masked_crc32c(records.back()));
    at += 16 + length;
  }
  return records;
}

// Fields of a protocol buffer: number -> raw value (varint as decimal text).
std::map<int, std::string> fields_of(const std::string& message) {
  std::map<int, std::string> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      const auto b = static_cast<uint8_t>(message.at(at++));
      v |= static_cast<uint64_t>(b & 0x7F) << shift;
      if (b < 0x80) return v;
    }
  };
  while (at < message.size()) {
    const uint64_t key = varint();
    const int field = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0: fields[field] = std::to_string(varint()); break;
      case 1: fields[field] = message.substr(at, 8), at += 8; break;
      case 5: fields[field] = message.substr(at, 4), at += 4; break;
      case 2: {
        const size_t n = varint();
        fields[field] = message.substr(at, n);
        at += n;
        break;
      }
      default: FAIL("wire type");
    }
  }
  return fields;
}

TEST_CASE("tensorboard: sums of RFC 3720, framing, and every metric at its step") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43u);
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  Database store = store_of({folder / "s"});
  const auto files = exported(store, export_tensorboard);
  REQUIRE(files.size() == 2);
  const std::string id = plan.rows[0].run_id;
  const auto records = records_of(files.at(id + "/events.out.tfevents.0000000000.tautline"));
  REQUIRE(records.size() == 1 + 5 * 10);
  CHECK(fields_of(records[0]).at(3) == "brain.Event:2");
  std::map<std::pair<std::string, std::string>, float> seen;
  for (size_t i = 1; i < records.size(); ++i) {
    const auto event = fields_of(records[i]);
    const auto value = fields_of(fields_of(event.at(5)).at(1));
    float number = 0;
    std::memcpy(&number, value.at(2).data(), 4);
    seen[{value.at(1), event.at(2)}] = number;
  }
  CHECK(seen.size() == 50);
  for (const SqlRow& m :
       store.rows("SELECT split || '/' || name, CAST(step AS TEXT), value FROM metric WHERE run_id = ?", {id})) {
    REQUIRE(seen.contains({text_of(m[0]), text_of(m[1])}));
    CHECK(seen[{text_of(m[0]), text_of(m[1])}] == static_cast<float>(number_of(m[2])));
  }
}

TEST_CASE("vega-lite: JSON with inline data, a long course thinned, ends kept") {
  const TempFolder folder;
  MadeStudy options = kSmall;
  options.steps.clear();
  for (int64_t s = 0; s <= 1800; ++s) options.steps.push_back(s);
  options.images = 8;
  make_study(folder / "s", options);
  Database store = store_of({folder / "s"});
  const auto files = exported(store, export_vega_lite);
  REQUIRE(files.size() == 3);
  for (const auto& [name, text] : files) {
    CAPTURE(name);
    const Json spec = Json::parse(text);
    CHECK(spec.at("$schema").get<std::string>().find("vega-lite/v5") != std::string::npos);
    CHECK(!spec.at("data").at("values").empty());
    for (const auto& [channel, encoding] : spec.at("encoding").items())
      CHECK(spec["data"]["values"][0].contains(encoding.at("field").get<std::string>()));
  }
  std::map<std::string, int64_t> count, last;
  for (const Json& v : Json::parse(files.at("trajectories.vl.json"))["data"]["values"]) {
    ++count[v["strategy"]];
    last[v["strategy"]] = v["step"];
  }
  for (const auto& [strategy, n] : count) {
    CHECK(n <= 501);
    CHECK(n >= 300);
    CHECK(last[strategy] == 1800);
  }
}

TEST_CASE("hostile names leave no folder, and every format is still what it says") {
  Database store = hostile_store();
  for (const auto write : {export_study_json, export_robustbench, export_tensorboard, export_vega_lite}) {
    const auto files = exported(store, write);
    CHECK(files.size() >= 2);
    for (const auto& [path, text] : files) {
      CAPTURE(path);
      CHECK(path.find("..") == std::string::npos);
      CHECK(path.find('<') == std::string::npos);
      if (path.ends_with(".json")) CHECK(Json::parse(text).is_structured());
    }
  }
  CHECK(records_of(exported(store, export_tensorboard).begin()->second).size() == 2);  // NULL is no scalar
  CHECK(file_name("a/b\\c\n.d") == "a_b_c_.d");
  CHECK(file_name("..") == "_.");
  CHECK(file_name("") == "_");
}

TEST_CASE("the command exports from folders and from stores, the same bytes") {
  const TempFolder folder;
  const Plan plan = make_study(folder / "s", kSmall);
  merge_into({folder / "s"}, folder / "a.sqlite");
  for (const std::string format : {"study-json", "timm-csv", "robustbench", "tensorboard", "vega-lite"}) {
    CAPTURE(format);
    const std::string one = folder / "one-" + format, two = folder / "two-" + format;
    const Outcome from_folder = taut({"study", "export", folder / "s", "--format", format, "--out", one, "-o", "json"});
    CAPTURE(from_folder.err);
    CHECK(from_folder.code == 0);
    CHECK(taut({"study", "export", folder / "a.sqlite", "--format", format, "--out", two}).code == 0);
    for (const Json& row : Json::parse(from_folder.out)) {
      const std::string file = row.at("file");
      CHECK(read_text_file(file) == read_text_file(two + file.substr(one.size())));
    }
  }
  const Outcome wrong = taut({"study", "export", folder / "s", "--format", "excel", "--out", folder / "x"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err.find("tensorboard") != std::string::npos);
  CHECK(taut({"study", "export", folder / "s", "--format", "timm-csv", "--out", "/proc/none/x"}).code == 74);
}

}  // namespace
}  // namespace taut::study
