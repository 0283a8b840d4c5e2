// Deltas in the layouts of peft and AdapterHub: files those libraries wrote (tests/golden/adapters, made by
// scripts/make_adapter_goldens) give their logits; ours, written for them, come back; what is not built is refused.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "autograd/ops.h"
#include "finetune/delta.h"
#include "finetune/foreign.h"
#include "tensor/safetensors.h"
#include "tests/cases/tolerance.h"
#include "tests/small_vit.h"

namespace taut::finetune {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::random_images;
using testing::random_vit;
using testing::relative_difference;
using testing::small_config;

const fs::path kGolden = fs::path(TAUT_SOURCE_DIR) / "tests/golden/adapters";

nn::VitConfig golden_config() {
  nn::VitConfig c;
  c.image_size = 8;
  c.patch = 4;
  c.dim = 32;
  c.depth = 2;
  c.heads = 4;
  c.mlp = 48;
  c.classes = 5;
  c.eps = 1e-12;
  return c;
}

// `folder`: "v5" for the one that transformers 5 wrote.
std::shared_ptr<nn::Vit> golden_base(DType dtype, const std::string& folder = "") {
  auto vit = std::make_shared<nn::Vit>(golden_config(), dtype);
  nn::load_weights(*vit, (kGolden / folder / "base.safetensors").string());
  return vit;
}

// A copy of a directory that a test may change.
class Copy {
 public:
  explicit Copy(const fs::path& from)
      : path_(fs::temp_directory_path() / ("taut-foreign-" + from.filename().string())) {
    fs::remove_all(path_);
    fs::copy(from, path_, fs::copy_options::recursive);
  }
  ~Copy() { fs::remove_all(path_); }
  std::string folder() const { return path_.string(); }
  void set(const std::string& file, const std::function<void(Json&)>& edit) const {
    Json json = Json::parse(std::ifstream(path_ / file));
    edit(json);
    std::ofstream(path_ / file) << json.dump();
  }

 private:
  fs::path path_;
};

struct Case {
  const char* name;
  const char* method;
  bool has_head;
};
const Case kCases[] = {{"peft_lora", "lora", true},
                       {"peft_lora_query_value", "lora", true},
                       {"peft_lora_dense", "lora", false},
                       {"peft_lora_embeddings", "lora", false},
                       {"peft_ia3", "ia3", true},
                       {"peft_ln", "ln", true},
                       {"hub_lora", "lora", true},
                       {"hub_ia3", "ia3", true},
                       {"hub_adapter", "adapter", true},
                       {"hub_compacter", "compacter", true},
                       {"hub_seq_bn", "adapter", true},
                       {"hub_double_seq_bn", "adapter", true},
                       {"hub_par_bn", "adapter", true},
                       {"hub_compacter_plus_plus", "compacter", true},
                       {"hub_adapter_plus", "adapter", true},
                       {"hub_scaled_par_bn", "adapter", true}};

const Case kCasesV5[] = {{"peft_lora", "lora", true},
                         {"peft_lora_dense", "lora", false},
                         {"peft_lora_embeddings", "lora", false},
                         {"peft_ia3", "ia3", true},
                         {"peft_ln", "ln", true}};

StrategyOptions golden_options(const std::string& strategy) {
  StrategyOptions o;
  o.rank = 4;
  o.alpha = 6;
  o.bottleneck = strategy == "adapter" ? 4 : 8;
  return o;
}

void check_logits(const std::string& folder, std::span<const Case> all) {
  const SafetensorsFile expected = SafetensorsFile::open((kGolden / folder / "expected.safetensors").string());
  const NoGrad no_grad;
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double limit = dtype == DType::kF64 ? cases::kGoldenModel : cases::kGoldenF32StepsUlps * 0x1p-23;
    const Var images(expected.read("images").to(dtype));
    CHECK(relative_difference(golden_base(dtype, folder)->forward(images).value(), expected.read("base")) < limit);
    for (const Case& c : all) {
      CAPTURE(c.name);
      const auto vit = golden_base(dtype, folder);
      const ForeignDelta delta = load_foreign_delta((kGolden / folder / c.name).string(), *vit);
      CHECK(delta.method == c.method);
      CHECK(delta.has_head == c.has_head);
      const Tensor want = expected.read(c.name);
      CHECK(relative_difference(expected.read("base"), want) > 1e-2);
      CHECK(relative_difference(vit->forward(images).value(), want) < limit);
      CHECK(relative_difference(evaluation_model(*vit, *delta.strategy, delta.options)->forward(images).value(), want) <
            limit);
    }
  }
}

}  // namespace

TEST_CASE("deltas that peft and AdapterHub's adapters wrote give their logits") { check_logits("", kCases); }

TEST_CASE("deltas that peft wrote with transformers 5, whose ViT has other names, give their logits") {
  check_logits("v5", kCasesV5);
}

TEST_CASE("deltas of ours, written in both layouts, are read back with the same function") {
  const nn::VitConfig config = small_config();
  const Var x(random_images(config, 3, 5, DType::kF64));
  const std::string file = (fs::temp_directory_path() / "taut_test_own_delta.safetensors").string();
  const fs::path folder = fs::temp_directory_path() / "taut_test_foreign";
  const std::set<std::string> peft = {"lora", "ia3", "ln"}, hub = {"lora", "ia3", "adapter", "compacter", "lp"};
  const NoGrad no_grad;
  for (const std::string& name : strategy_names()) {
    if (name == "bn") continue;  // a ViT has no batch norm
    CAPTURE(name);
    const Strategy& s = strategy(name);
    StrategyOptions options;
    options.rank = 3;
    options.alpha = 5;
    options.bottleneck = 8;
    const auto trained = random_vit(config, 1, DType::kF64);
    const std::string base = base_hash(*trained);
    s.apply(*trained, options, 3);
    for (nn::NamedParameter& p : trained->parameters()) {
      if (!p.var.requires_grad()) continue;
      Tensor noise = Tensor::empty(p.var.shape(), DType::kF64);
      nn::fill_normal(noise, 0.1, 4, p.path);
      p.var.set_value(ops::add(Var(p.var.value()), Var(noise)).value());
    }
    const Tensor want = trained->forward(x).value();
    save_delta(file, *trained, s, options, base);
    for (const Layout layout : {Layout::kPeft, Layout::kPeftV5, Layout::kAdapterHub}) {
      CAPTURE(static_cast<int>(layout));
      fs::remove_all(folder);
      if (!(layout == Layout::kAdapterHub ? hub : peft).contains(name)) {
        CHECK_THROWS_WITH_AS(write_foreign_delta(file, folder.string(), layout), doctest::Contains(name.c_str()),
                             Error);
        CHECK(!fs::exists(folder));
        continue;
      }
      write_foreign_delta(file, folder.string(), layout);
      const auto vit = random_vit(config, 1, DType::kF64);
      const ForeignDelta delta = load_foreign_delta(folder.string(), *vit);
      CHECK(delta.method == name);
      CHECK(relative_difference(vit->forward(x).value(), want) < cases::kF64Limit);
    }
  }
  fs::remove_all(folder);
  fs::remove(file);
}

TEST_CASE("what is written for the libraries has the names and shapes that they write") {
  const std::string file = (fs::temp_directory_path() / "taut_test_names.safetensors").string();
  const fs::path folder = fs::temp_directory_path() / "taut_test_names";
  const auto shapes = [](const fs::path& path) {
    std::map<std::string, Shape> all;
    const SafetensorsFile f = SafetensorsFile::open(path.string());
    for (const StoredTensor& t : f.tensors()) all[t.name] = t.shape;
    return all;
  };
  // In theirs the adapter is called "study".
  const auto renamed = [](const std::map<std::string, Shape>& theirs, const std::string& name) {
    std::map<std::string, Shape> all;
    for (const auto& [their_key, shape] : theirs) {
      std::string key = their_key;
      if (const size_t at = key.find(".study."); at != std::string::npos) key.replace(at + 1, 5, name);
      all[key] = shape;
    }
    return all;
  };
  for (const std::string name : {"lora", "ia3", "compacter"}) {
    CAPTURE(name);
    const auto vit = golden_base(DType::kF32);
    const std::string base = base_hash(*vit);
    strategy(name).apply(*vit, golden_options(name), 1);
    save_delta(file, *vit, strategy(name), golden_options(name), base);
    fs::remove_all(folder);
    write_foreign_delta(file, folder.string(), Layout::kAdapterHub);
    const fs::path theirs = kGolden / ("hub_" + name);
    CHECK(shapes(folder / "adapter/adapter.safetensors") ==
          renamed(shapes(theirs / "study/adapter.safetensors"), name));
    CHECK(shapes(folder / "head/model_head.safetensors") == shapes(theirs / "default/model_head.safetensors"));
    const Json ours_json = Json::parse(std::ifstream(folder / "adapter/adapter_config.json")),
               theirs_json = Json::parse(std::ifstream(theirs / "study/adapter_config.json"));
    for (const auto& [key, value] : ours_json.at("config").items()) {
      CAPTURE(key);
      CHECK(theirs_json.at("config").at(key) == value);
    }
    if (name != "lora") continue;
    for (const auto& [layout, at] : {std::pair{Layout::kPeft, kGolden}, {Layout::kPeftV5, kGolden / "v5"}}) {
      fs::remove_all(folder);
      write_foreign_delta(file, folder.string(), layout);
      CHECK(shapes(folder / "adapter_model.safetensors") == shapes(at / "peft_lora/adapter_model.safetensors"));
      const Json peft_json = Json::parse(std::ifstream(folder / "adapter_config.json")),
                 their_peft = Json::parse(std::ifstream(at / "peft_lora/adapter_config.json"));
      for (const auto& [key, value] : peft_json.items())
        if (key != "auto_mapping") {
          CAPTURE(key);
          CHECK(their_peft.at(key) == value);
        }
    }
  }
  fs::remove_all(folder);
  fs::remove(file);
}

Json nested(int depth) {
  Json value = 1;
  for (int i = 0; i < depth; ++i) value = Json::array({value});
  return value;
}

TEST_CASE("a configuration that asks for what is not built is refused by the name of its key; the model is unchanged") {
  const struct {
    const char* name;
    const char* file;
    const char* key;
    Json value;
    const char* word;
  } cases[] = {
      {"peft_lora", "adapter_config.json", "peft_type", "LOHA", "LOHA"},
      {"peft_lora", "adapter_config.json", "fan_in_fan_out", true, "fan_in_fan_out"},
      {"peft_lora", "adapter_config.json", "init_lora_weights", "pissa", "init_lora_weights"},
      {"peft_lora", "adapter_config.json", "use_dora", true, "use_dora"},
      {"peft_lora", "adapter_config.json", "layer_replication", Json{{0, 1}}, "layer_replication"},
      {"peft_lora", "adapter_config.json", "a_key_of_the_future", 3, "a_key_of_the_future"},
      {"peft_lora", "adapter_config.json", "lora_alpha", "much", "lora_alpha"},
      {"peft_lora", "adapter_config.json", "alpha_pattern", Json{{"(?=a*)b", 2}}, "alpha_pattern"},
      {"peft_lora", "adapter_config.json", "alpha_pattern", Json{{"a{9999}", 2}}, "alpha_pattern"},
      {"peft_lora", "adapter_config.json", "deep", nested(40), "nested"},
      {"peft_lora", "adapter_config.json", "r", 32, "expected rank 32, as "},
      {"peft_lora", "adapter_config.json", "rank_pattern", Json{{"1.*query", 3}}, "layer.1.attention.attention.query'"},
      {"peft_lora", "adapter_config.json", "rank_pattern", Json{{"(?=a*)b", 2}}, "rank_pattern"},
      {"peft_ia3", "adapter_config.json", "peft_type", "LORA", "feedforward_modules"},
      {"peft_ln", "adapter_config.json", "peft_type", "IA3", "ln_tuning_layers"},
      {"hub_lora", "study/adapter_config.json", "use_gating", true, "use_gating"},
      {"hub_lora", "study/adapter_config.json", "use_dora", true, "use_dora"},
      {"hub_lora", "study/adapter_config.json", "r", 32, "lora_A': expected rank 32, as key 'r' of "},
      {"hub_ia3", "study/adapter_config.json", "r", 4, "key 'r': expected 1 in (IA)^3, got 4"},
      {"hub_lora", "study/adapter_config.json", "architecture", "prefix_tuning", "prefix_tuning"},
      {"hub_adapter", "study/adapter_config.json", "original_ln_after", false, "original_ln_after"},
      {"hub_adapter", "study/adapter_config.json", "scaling", "somehow", "scaling"},
      {"hub_adapter", "study/adapter_config.json", "scaling", "channel", "scaling"},  // without the tensors
      {"hub_adapter", "study/adapter_config.json", "non_linearity", "tanh", "non_linearity"},
      {"hub_adapter", "study/adapter_config.json", "ln_after", true, "ln_after"},
      {"hub_seq_bn", "study/adapter_config.json", "residual_before_ln", false, "residual_before_ln"},
      {"hub_seq_bn", "study/adapter_config.json", "original_ln_after", false, "original_ln_after"},
      {"hub_adapter_plus", "study/adapter_config.json", "original_ln_before", false, "original_ln_after"},
      {"hub_par_bn", "study/adapter_config.json", "original_ln_after", false, "original_ln_after"},
      {"hub_compacter", "study/adapter_config.json", "scaling", "channel", "scaling"},
      {"hub_compacter", "study/adapter_config.json", "shared_phm_rule", false, "shared_phm_rule"},
      {"hub_compacter", "study/adapter_config.json", "phm_dim", 0, "phm_dim"},
      {"hub_compacter", "default/head_config.json", "layers", 2, "layers"},
      {"hub_compacter", "default/head_config.json", "use_pooler", true, "use_pooler"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.key);
    const Copy copy(kGolden / c.name);
    copy.set(c.file, [&](Json& json) { (json.contains("config") ? json["config"] : json)[c.key] = c.value; });
    const auto vit = golden_base(DType::kF32);
    std::vector<Tensor> before;
    for (const auto& [path, t] : nn::state_of(*vit)) before.push_back(t.clone());
    CHECK_THROWS_WITH_AS(load_foreign_delta(copy.folder(), *vit), doctest::Contains(c.word), Error);
    const auto after = nn::state_of(*vit);
    REQUIRE(after.size() == before.size());
    for (size_t i = 0; i < before.size(); ++i) CHECK(same_bytes(after[i].second, before[i]));
  }
  // An inactive key is no matter.
  const Copy copy(kGolden / "peft_lora");
  copy.set("adapter_config.json", [](Json& json) {
    json["a_key_of_the_future"] = false;
    json["another"] = Json::object();
  });
  CHECK_NOTHROW(load_foreign_delta(copy.folder(), *golden_base(DType::kF32)));
}

TEST_CASE("AdapterHub: alpha counts from version 1.1.0 on; layers that are left out add nothing") {
  const NoGrad no_grad;
  const Var x(random_images(golden_config(), 2, 5));
  const auto logits = [&](const std::string& folder) {
    const auto vit = golden_base(DType::kF32);
    load_foreign_delta(folder, *vit);
    return vit->forward(x).value();
  };
  const Copy lora(kGolden / "hub_lora");
  const char* config = "study/adapter_config.json";
  const Tensor scaled = logits(lora.folder());
  const auto of_version = [&](const std::string& version) {
    CAPTURE(version);
    lora.set(config, [&](Json& json) { json["version"] = "adapters." + version; });
    return logits(lora.folder());
  };
  const Tensor old = of_version("1.0.1");
  CHECK(!same_bytes(old, scaled));
  for (const char* version : {"0.2.2", "1", "1.0", "1.1.0.dev0", "1.1.0a1", "1.1rc1", "1.1.0-pre.1"})
    CHECK(same_bytes(of_version(version), old));
  for (const char* version : {"1.1", "1.1.0.post1", "1.1.0.1", "1.10.0", "2", "99999999999999999999.0", "x"})
    CHECK(same_bytes(of_version(version), scaled));
  lora.set(config, [](Json& json) {
    json["version"] = "adapters.1.1.0";
    json["config"]["alpha"] = json["config"]["r"];
  });
  CHECK(same_bytes(logits(lora.folder()), old));

  const Copy compacter(kGolden / "hub_compacter");
  const std::string path = compacter.folder() + "/study/adapter.safetensors";
  std::vector<std::pair<std::string, Tensor>> zeroed, fewer;
  const SafetensorsFile all = SafetensorsFile::open(path);
  for (const std::string& n : all.names()) {
    const bool out = n.find("layer.1.") != std::string::npos;
    zeroed.emplace_back(n, out ? Tensor::zeros(all.info(n).shape) : all.read(n));
    if (!out) fewer.emplace_back(n, all.read(n));
  }
  write_safetensors(path, zeroed);
  const Tensor want = logits(compacter.folder());
  write_safetensors(path, fewer);
  CHECK_THROWS_WITH_AS(logits(compacter.folder()), doctest::Contains("layer.1."), Error);
  compacter.set(config, [](Json& json) { json["config"]["leave_out"] = {1}; });
  CHECK(same_bytes(logits(compacter.folder()), want));
}

TEST_CASE("a delta for another model or with damaged files is refused by name") {
  nn::VitConfig other = golden_config();
  other.classes = 7;
  nn::Vit seven(other);
  CHECK_THROWS_WITH_AS(load_foreign_delta((kGolden / "peft_lora").string(), seven),
                       doctest::Contains("model.classes=5"), Error);
  other = golden_config();
  other.depth = 1;
  nn::Vit shallow(other);
  CHECK_THROWS_WITH_AS(load_foreign_delta((kGolden / "hub_lora").string(), shallow), doctest::Contains("layer.1"),
                       Error);
  const Copy copy(kGolden / "peft_ia3");
  fs::remove(fs::path(copy.folder()) / "adapter_model.safetensors");
  CHECK_THROWS_WITH_AS(load_foreign_delta(copy.folder(), *golden_base(DType::kF32)),
                       doctest::Contains("adapter_model.bin"), Error);
  std::ofstream(fs::path(copy.folder()) / "adapter_config.json") << "[1]";
  CHECK_THROWS_WITH_AS(load_foreign_delta(copy.folder(), *golden_base(DType::kF32)), doctest::Contains("JSON object"),
                       Error);
  fs::remove(fs::path(copy.folder()) / "adapter_config.json");
  CHECK_THROWS_WITH_AS(load_foreign_delta(copy.folder(), *golden_base(DType::kF32)),
                       doctest::Contains("adapter_config.json"), Error);
}

}  // namespace taut::finetune
