// YAML from strangers (drill 25): what a bomb, a nest, a trick or plain noise does is an error, at once.
#include "study/import/yaml.h"

#include "study/config.h"
#include "study/import/released_config.h"
#include "study/toml.h"
#include "tensor/random.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

YamlNode one(const std::string& text) {
  const std::vector<YamlNode> documents = parse_yaml(text, "f.yml");
  REQUIRE(documents.size() == 1);
  return documents[0];
}

std::string repeated(const std::string& text, int64_t times) {
  std::string all;
  for (int64_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST_CASE("scalars, lists, maps, aliases, documents and lines") {
  const YamlNode root = one("a: 1\nb: ['k', v]\nc: &x {d: ~, e: \"null\"}\nf: *x\ng:\n");
  CHECK(root.find("a")->text == "1");
  CHECK(!root.find("a")->quoted);
  CHECK(root.find("b")->items[0].quoted);
  CHECK(root.find("b")->to_text() == "[k, v]");
  CHECK(root.find("b")->line == 2);
  CHECK(root.find("c")->find("d")->kind == YamlNode::Kind::kNull);
  CHECK(root.find("c")->find("e")->kind == YamlNode::Kind::kScalar);
  CHECK(root.find("f")->to_text() == "{d: null, e: null}");
  CHECK(root.find("g")->kind == YamlNode::Kind::kNull);
  CHECK(root.find("h") == nullptr);
  CHECK(parse_yaml("a: 1\n---\na: 2\n---\n", "f.yml").size() == 2);
  CHECK(parse_yaml("", "f.yml").empty());
  CHECK(parse_yaml("# nothing\n", "f.yml").empty());
  // A byte order mark and the line ends of Windows.
  CHECK(one("\xEF\xBB\xBF"
            "a: 1\r\nb: [2]\r\n")
            .to_text() == "{a: 1, b: [2]}");
}

TEST_CASE("hostile YAML ends with exit code 65, the place and the reason") {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 10; ++i)
    laughs += fmt::format("a{0}: &a{0} [{1}*a{2}]\n", i, repeated(fmt::format("*a{}, ", i - 1), 8), i - 1);
  const struct {
    std::string text;
    const char* word;
  } cases[] = {
      {laughs, "at most 20000 values"},
      {"a: &x " + std::string(100'000, 'y') + "\nb: [" + repeated("*x, ", 1000) + "]\n", "at most 20000 values"},
      {repeated("[", 100'000) + repeated("]", 100'000), "at most 32 levels"},
      {repeated("[", 100'000), "f.yml"},
      {repeated("{a: ", 100'000) + "1" + repeated("}", 100'000), "at most 32 levels"},
      {repeated("- ", 100'000), "at most 32 levels"},
      {"a: [" + repeated("1, ", 30'000) + "]\n", "at most 20000 values"},
      {std::string(YamlLimits::kBytes + 1, ' '), "at most 1048576 bytes"},
      {"a: 1\nb: 2\na: 3\n", "'a' twice"},
      {"{a: 1, a: 2}", "'a' twice"},
      {"? [a, b]\n: 1\n", "a scalar as a key"},
      {"? {a: b}\n: 1\n", "a scalar as a key"},
      {"a: &x [*x]\n", "alias"},
      {"a: *nowhere\n", "no YAML"},
      {"base: &b {r: 1}\nc:\n  <<: *b\n", "merge key"},
      {"a: !!python/object/apply:os.system [\"true\"]\n", "the tag"},
      {"a: !include other.yml\n", "the tag"},
      {"a: [1, 2\nb: }\n", "no YAML"},
      {"a: \xff\xfe\n", "UTF-8"},
      {"a: !2", "the tag"}};
  for (const auto& c : cases) {
    CAPTURE(c.text.substr(0, 60));
    const Error error = error_of([&] { parse_yaml(c.text, "f.yml"); });
    CAPTURE(error.what());
    CHECK(error.code() == Exit::kBadData);
    CHECK(std::string(error.what()).find(c.word) != std::string::npos);
    CHECK(std::string(error.what()).find("f.yml") != std::string::npos);
  }
}

TEST_CASE("any change of any byte of a configuration is read or refused, and what is read can be imported") {
  const std::string good =
      "Modules: ['lora']\nLoRAConfig: &c\n  attn_matrices: [k, \"v\", q]\n  r: 8\n  alpha: 8 # eight\n"
      "adapter: *c\nlearning_rate: 5.0e-4\n--- {dataset: cifar10}\n...\n";
  static const std::string kInteresting = "[]{}:,-?&*!|>'\"%@`#~\n\t \\<=.0\x01\x80\xff";
  Random random(25, Purpose::kTest);
  int64_t read = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = good;
    for (uint64_t changes = 1 + random.below(4); changes > 0; --changes) {
      const size_t at = random.below(text.size());
      const char c = kInteresting[random.below(kInteresting.size())];
      switch (random.below(4)) {
        case 0: text[at] = c; break;
        case 1: text.insert(at, 1, c); break;
        case 2: text.erase(at, 1 + random.below(8)); break;
        default: text.insert(at, text.substr(random.below(text.size()), 1 + random.below(16)));
      }
    }
    const Error error = error_of([&] {
      for (const YamlNode& document : parse_yaml(text, "f.yml")) {
        std::vector<ImportedKey> keys;
        read_released(document, "f.yml", keys);
      }
    });
    CAPTURE(text);
    if (error.code() == Exit::kOk)
      ++read;
    else
      ++refused;
    CHECK((error.code() == Exit::kOk || error.code() == Exit::kBadData));
  }
  CHECK(read > 1000);
  CHECK(refused > 1000);
}

// The other half of drill 25: the same tricks in TOML.
TEST_CASE("hostile TOML ends with exit code 2, at once") {
  const std::string cases[] = {"a = 1\na = 2\n",
                               "[a]\n[a]\n",
                               "a = nan\n",
                               "a = " + repeated("[", 100'000),
                               "a = " + repeated("{b = ", 100'000),
                               repeated("a.", 100'000) + "b = 1\n",
                               "[" + repeated("a.", 100'000) + "b]\n",
                               "a = \"\xff\xfe\"\n",
                               "a = [1, 2\n",
                               "train.lr = 1e999\n",
                               "train.lr = inf\n"};
  for (const std::string& text : cases) {
    CAPTURE(text.substr(0, 40));
    const Error error = error_of([&] {
      Config config;
      config.set_all(parse_toml(text, "f.toml").values, Source::kFile);
    });
    CAPTURE(error.what());
    CHECK(error.code() == Exit::kUsage);
  }
  const Error fine = error_of([] {
    parse_toml(
        "\xEF\xBB\xBF"
        "train.lr = 1\r\n",
        "f.toml");
  });
  CHECK(fine.code() == Exit::kOk);
}

}  // namespace
}  // namespace taut::study
