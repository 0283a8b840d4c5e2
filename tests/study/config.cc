// Settings: precedence, fractions, ranges, hints and what is recorded.
#include "study/config.h"

#include "study/run/point.h"
#include "study/toml.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

TEST_CASE("numbers may be fractions of two") {
  CHECK(parse_number("k", "1/255") == 1.0 / 255);
  CHECK(parse_number("k", "8 / 255") == 8.0 / 255);
  CHECK(parse_number("k", "-2e-3") == -2e-3);
  for (const char* bad : {"", "1/", "/2", "1/0", "1/2/3", "x", "1x", "nan", "inf", "0x10"}) {
    CAPTURE(bad);
    const Error error = error_of([&] { parse_number("attack.eps", bad); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find("attack.eps") != std::string::npos);
  }
}

TEST_CASE("a wrong setting is refused by name") {
  const struct {
    const char *argument, *word;
  } cases[] = {{"model.wieghts=x", "model.weights"},
               {"attack.eps=-1", "attack.eps"},
               {"attack.steps=1.5", "attack.steps"},
               {"model.name=vit_bsae_patch16_224", "vit_base_patch16_224"},
               {"model.strategy=lroa", "lora"},
               {"train.batch=0", "train.batch"},
               {"train.replacement=yes", "true"},
               {"eval.points=1,x", "eval.points"},
               {"data.std=0", "data.std"},
               {"novalue", "key=value"},
               {"=1", "key=value"},
               {"seed=9999999999999999999999", "seed"}};
  for (const auto& c : cases) {
    CAPTURE(c.argument);
    Config config;
    const Error error = error_of([&] { config.set_argument(c.argument, Source::kCommandLine); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find(c.word) != std::string::npos);
  }
}

TEST_CASE("the stronger source wins, whatever the order") {
  Config config;
  config.set("attack.eps", "3/255", Source::kCommandLine);
  config.set("attack.eps", "2/255", Source::kFile);
  CHECK(config.text("model.strategy") == "full");
  CHECK(config.number("attack.eps") == 3.0 / 255);
  CHECK(config.source("attack.eps") == Source::kCommandLine);
  ::setenv("TAUT_CFG_ATTACK_STEPS", "7", 1);
  config.set("attack.steps", "5", Source::kFile);
  config.set_from_environment();
  ::unsetenv("TAUT_CFG_ATTACK_STEPS");
  CHECK(config.integer("attack.steps") == 7);
  ::setenv("TAUT_CFG_ATTACK_STEP", "7", 1);
  const Error error = error_of([&] { config.set_from_environment(); });
  ::unsetenv("TAUT_CFG_ATTACK_STEP");
  CHECK(std::string(error.what()).find("TAUT_CFG_ATTACK_STEPS") != std::string::npos);
}

TEST_CASE("a setting that the attack does not read is refused where it was given for that attack") {
  const auto refused = [](const char* attack, Source named, const char* argument, Source given) {
    Config config;
    config.set("attack.name", attack, named);
    config.set_argument(argument, given);
    return std::string(error_of([&] { refuse_unread_attack_settings(config); }).what());
  };
  const struct {
    const char *attack, *argument, *word;
  } cases[] = {{"mtpgd", "attack.loss=ce", "pgd takes attack.loss"},
               {"fgsm", "attack.alpha=1/510", "bim takes attack.alpha"},
               {"bim", "attack.random_start=true", "pgd starts at a random point"},
               {"mifgsm", "attack.restarts=2", "pgd and mtpgd have one"},
               {"pgd", "attack.targets=2", "mtpgd attempts targets"}};
  for (const auto& c : cases) {
    CAPTURE(c.argument);
    const std::string message = refused(c.attack, Source::kCommandLine, c.argument, Source::kCommandLine);
    CHECK(message.starts_with("[" + std::string(c.argument).substr(0, std::string(c.argument).find('='))));
    CHECK(message.find(std::string("the attack ") + c.attack) != std::string::npos);
    CHECK(message.find(c.word) != std::string::npos);
    CHECK(!refused(c.attack, Source::kFile, c.argument, Source::kFile).starts_with("no error"));
    CHECK(refused(c.attack, Source::kPreset, c.argument, Source::kPreset) == "no error");
    CHECK(refused(c.attack, Source::kCommandLine, c.argument, Source::kFile) == "no error");
    CHECK(refused("none", Source::kCommandLine, c.argument, Source::kCommandLine) == "no error");
  }
  for (const auto& [attack, argument] : {std::pair{"mtpgd", "attack.loss=margin"},
                                         {"bim", "attack.restarts=1"},
                                         {"mtpgd", "attack.targets=2"},
                                         {"pgd", "attack.restarts=2"},
                                         {"mifgsm", "attack.loss=margin"}})
    CHECK(refused(attack, Source::kCommandLine, argument, Source::kCommandLine) == "no error");
}

TEST_CASE("hints follow the strategy, yield to everything, and are marked") {
  const auto hinted = [](const char* strategy) {
    Config config;
    config.set("model.strategy", strategy, Source::kFile);
    config.set_hints();
    return config;
  };
  CHECK(hinted("full").number("train.lr") == 2e-5);
  CHECK(hinted("full").text("train.schedule") == "linear");
  CHECK(hinted("full").integer("train.warmup") == 0);
  CHECK(hinted("lora").number("train.lr") == 5e-4);
  CHECK(hinted("lora").number("train.weight_decay") == 1e-2);
  CHECK(hinted("bitfit").number("train.lr") == 5e-3);
  CHECK(hinted("bitfit").number("train.weight_decay") == 0);
  CHECK(hinted("bitfit").integer("train.warmup") == 800);
  CHECK(hinted("ia3").to_toml().find("train.lr = 0.005  # hinted") != std::string::npos);
  Config config;
  config.set("train.lr", "0.5", Source::kPreset);
  config.set_hints();
  CHECK(config.number("train.lr") == 0.5);
}

TEST_CASE("what a run records reads back the same, and threads are no part of its name") {
  const TempFolder folder;
  Config config;
  config.set("attack.eps", "8/255", Source::kFile);
  config.set("data.path", "a \"strange\" path\\with\ttabs", Source::kFile);
  config.set("eval.points", "[0, 8, 16]", Source::kFile);
  config.set("eval.shifts", "rotation,texture", Source::kFile);
  config.set("data.mean", "1/2, 0.25", Source::kFile);
  write_text(folder / "config.resolved.toml", config.to_toml());
  const Config back = read_resolved(folder / "config.resolved.toml");
  CHECK(back.hash() == config.hash());
  CHECK(config.differences(back).empty());
  CHECK(back.text("data.path") == config.text("data.path"));
  CHECK(back.integers("eval.points") == std::vector<int64_t>{0, 8, 16});
  CHECK(back.texts("eval.shifts") == std::vector<std::string>{"rotation", "texture"});
  CHECK(back.numbers("data.mean") == std::vector<double>{0.5, 0.25});

  Config threads = config;
  threads.set("threads", "2", Source::kCommandLine);
  threads.set("data.root", "/elsewhere", Source::kCommandLine);
  CHECK(threads.hash() == config.hash());
  Config same = config;
  same.set("pretrain.lr", "0.002", Source::kCommandLine);
  same.set("attack.eps", " 8 / 255", Source::kCommandLine);
  CHECK(same.hash() == config.hash());
  Config other = config;
  other.set("train.lr", "0.25", Source::kCommandLine);
  CHECK(other.hash() != config.hash());
  REQUIRE(other.differences(config).size() == 1);
  CHECK(other.differences(config)[0].starts_with("train.lr (0.25 instead of "));

  write_text(folder / "bad.toml", "train.lr = \"fast\"\n");
  CHECK(error_of([&] { read_resolved(folder / "bad.toml"); }).code() == Exit::kBadData);
}

TEST_CASE("TOML errors name file, line and column") {
  const struct {
    const char *text, *word;
  } cases[] = {{"a = 1\nb = = 2\n", "f.toml:2:5"},
               {"a = 1979-05-27\n", "f.toml:1:"},
               {"a = [[1], [2]]\n", "f.toml:1:"},
               {"a = [\"x,y\"]\n", "commas"},
               {"a = 1\na = 2\n", "f.toml:2:"}};
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const Error error = error_of([&] { parse_toml(c.text, "f.toml"); });
    CHECK(error.code() == Exit::kUsage);
    CHECK(std::string(error.what()).find(c.word) != std::string::npos);
  }
}

}  // namespace
}  // namespace taut::study
