// Drill 25: study files and JSON that want to be expensive, and oddities that are none of their fault. The work is
// bounded by limits of memory and processor time that only runaway work reaches; no clock is asked.
#include "tests/drills/faults.h"
#include "tests/study/made_study.h"

namespace taut::study {
namespace {

namespace fs = std::filesystem;

// The command with at most 1.5 GB of address space and 20 s of processor time.
Outcome bounded(const std::vector<std::string>& arguments) {
#if defined(__SANITIZE_ADDRESS__)
  return taut(arguments, "ulimit -t 200;");
#else
  return taut(arguments, "ulimit -v 1500000; ulimit -t 20;");
#endif
}

std::string repeated(const std::string& part, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

TEST_CASE("drill 25: study files that are bombs, and values that are no numbers, are 2 with the place") {
  const TempFolder folder;
  const std::string file = folder / "study.toml";
  const std::string tiny = kTinyStudy;
  const auto with_rate = [&](const std::string& rate) {
    std::string text = tiny;
    return text.replace(text.find("3e-3"), 4, rate);
  };
  const struct {
    const char* name;
    std::string text;
    const char* word;
  } cases[] = {
      {"arrays in arrays", "a = " + repeated("[", 100'000), "study.toml:1"},
      {"tables in tables", "a = " + repeated("{a = ", 100'000), "study.toml:1"},
      {"a dotted key of 100,000 parts", repeated("a.", 100'000) + "a = 1\n", "study.toml:1"},
      {"a header of 100,000 parts", "[" + repeated("a.", 100'000) + "a]\nb = 1\n", "study.toml:1"},
      {"quoted parts", repeated("\"a\".", 100'000) + "a = 1\n", "study.toml:1"},
      {"a key twice", tiny + "[study]\n", "study.toml:"},
      {"a setting twice", "train.lr = 1e-3\ntrain.lr = 1e-2\n", "study.toml:2"},
      {"not a number", with_rate("nan"), "train.lr"},
      {"infinity", with_rate("inf"), "train.lr"},
      {"beyond double", "train.lr = 1e999\n" + tiny.substr(0, tiny.find("train.lr")), "study.toml:1"},
      {"not UTF-8", "title = \"\xff\xfe\"\n", "study.toml:1"},
      {"a NUL", std::string("a = 1\n\0b = 2\n", 13), "study.toml:2"},
      {"UTF-16",
       std::string("\xff\xfe"
                   "a\0",
                   4),
       "study.toml:1"},
      {"a string of 3 MB", "title = \"" + std::string(3'000'000, 'x') + "\"\n" + tiny, "title"},
      {"no end of a string", "title = \"" + std::string(3'000'000, 'x'), "study.toml:1"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.name);
    write_text(file, c.text);
    for (const auto& command : std::vector<std::vector<std::string>>{{"study", "plan", file},
                                                                     {"train", "-c", file, "--out", folder / "run"}}) {
      const Outcome o = bounded(command);
      CAPTURE(o.err.substr(0, 300));
      CHECK(o.code == 2);
      CHECK(o.err.find(c.word) != std::string::npos);
      CHECK(o.err.size() < 2000);
      CHECK(o.out.empty());
    }
    CHECK(!fs::exists(folder / "run"));
  }
}

TEST_CASE("drill 25: a study file of a gigabyte is refused before it is read") {
  const TempFolder folder;
  const std::string file = folder / "study.toml";
  write_text(file, "title = \"");
  fs::resize_file(file, uintmax_t{1} << 30);
  const Outcome o = bounded({"study", "plan", file});
  CAPTURE(o.err);
  CHECK(o.code == 2);
  CHECK(o.err.find("expected at most 4194304 bytes, got 1073741824") != std::string::npos);
}

TEST_CASE("drill 25: a byte-order mark and carriage returns change nothing") {
  const TempFolder folder;
  const std::string plain = folder / "a.toml", odd = folder / "b.toml", text = kTinyStudy;
  write_text(plain, text);
  const std::string wanted = taut({"study", "plan", plain, "--no-measure", "-o", "json"}).out;
  CHECK(wanted.size() > 100);
  std::string returns;
  for (const char c : text) returns += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (const std::string& variant : {"\xef\xbb\xbf" + text, returns, "\xef\xbb\xbf" + returns}) {
    write_text(odd, variant);
    const Outcome o = bounded({"study", "plan", odd, "--no-measure", "-o", "json"});
    CAPTURE(o.err);
    CHECK(o.code == 0);
    CHECK(o.out == wanted);
  }
}

TEST_CASE("drill 25: results, plans and imported lists in JSON that want to be expensive") {
  const TempFolder folder;
  const std::string study = folder / "study";
  const Plan plan = make_study(study, {.datasets = {"easy"}, .strategies = {"lp", "lora"}});
  const std::string good_plan = to_json(plan).dump(), run = study + "/runs/" + plan.rows[0].run_id;
  write_text(study + "/study.json", good_plan);
  const std::string good = read_text_file(run + "/result.json");
  const std::string deep = repeated("[", 1'000'000) + repeated("]", 1'000'000),
                    deeper = repeated("{\"a\":", 1'000'000) + "1" + repeated("}", 1'000'000);
  // The good result with one value exchanged.
  const auto with = [&](const std::string& key, const std::string& value) {
    std::string text = good;
    text.replace(text.find("\"" + key + "\""), key.size() + 2, "\"" + key + "\": " + value + ", \"old\"");
    return text;
  };
  const std::vector<std::string> hostile = {deep,
                                            deeper,
                                            repeated("[", 1'000'000),
                                            with("run_id", deep),
                                            with("notes", deep),
                                            with("evaluations", deeper),
                                            "\"" + std::string(20'000'000, 'x') + "\"",
                                            with("seed", "1e999"),
                                            with("seed", "NaN"),
                                            with("run_id", "null"),
                                            "\xff\xfe" + good,
                                            good.substr(0, good.size() / 2),
                                            "null",
                                            ""};
  for (size_t i = 0; i < hostile.size(); ++i) {
    CAPTURE(i);
    write_text(run + "/result.json", hostile[i]);
    fs::remove(folder / "db");
    const Outcome merged = bounded({"study", "merge", study, "--db", folder / "db"});
    CAPTURE(merged.err.substr(0, 300));
    CHECK((merged.code == 1 || merged.code == 65));
    CHECK(merged.err.find(plan.rows[0].run_id) != std::string::npos);
    CHECK(merged.err.size() < 4000);
    const Outcome reported = bounded({"study", "report", study});
    CAPTURE(reported.err.substr(0, 300));
    CHECK((reported.code == 0 || reported.code == 65));  // shown as a run that is not done, or named
    if (reported.code == 65) CHECK(reported.err.find(plan.rows[0].run_id) != std::string::npos);
    write_text(run + "/result.json", good);

    write_text(study + "/study.json", hostile[i]);
    const Outcome planned = bounded({"study", "report", study});
    CAPTURE(planned.err.substr(0, 300));
    CHECK((planned.code == 65 || planned.code == 2));
    CHECK(planned.err.find("study.json") != std::string::npos);
    write_text(study + "/study.json", good_plan);
  }
  CHECK(bounded({"study", "merge", study, "--db", folder / "db2"}).code == 0);
}

}  // namespace
}  // namespace taut::study
