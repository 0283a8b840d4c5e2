// Configurations of the study's released code become studies that plan; every key is accounted for.
#include <nlohmann/json.hpp>

#include "study/import/released_config.h"
#include "tests/study/support.h"

namespace taut::study {
namespace {

// The keys and values of the released configs/*.yml.
const std::map<std::string, std::string> kReleased = {
    {"config0_lora.yml",
     "Modules: ['lora']\n\nLoRAConfig:\n  selfattn_lora: True\n  attn_matrices: ['k','v','q']\n"
     "  intermediate_lora: True\n  output_lora: True\n  r: 8\n  alpha: 8\n  composition_mode: 'add' # or 'scale'\n"},
    {"config0_ia3.yml",
     "Modules: ['ia3']\n\nLoRAConfig:\n  selfattn_lora: True\n  attn_matrices: ['k','v']\n  intermediate_lora: True\n"
     "  output_lora: True\n  r: 1\n  alpha: 1\n  composition_mode: 'scale'"},
    {"config0_bn_all.yml",
     "Modules: ['bn']\n\nBnConfig:\n  output_adapter: True\n  mh_adapter: True\n  non_linearity: 'gelu'\n"
     "  reduction_factor: 8"},
    {"config0_compacter.yml", "Modules: ['compacter']"},
    {"config0_bitfit.yml", "Modules: ['bitfit']\n"}};

using Options = std::vector<std::pair<std::string, std::string>>;

ImportedStudy import_text(const TempFolder& folder, const std::string& text, const Options& options = {}) {
  write_text(folder / "c.yml", text);
  return import_released({folder / "c.yml"}, options);
}

Plan plan_of(const ImportedStudy& study, const std::vector<std::string>& arguments = {}) {
  return make_plan(study.toml, "imported.toml", Source::kFile, arguments);
}

const ImportedKey& key_of(const ImportedStudy& study, const std::string& key) {
  const auto it = std::ranges::find(study.keys, key, &ImportedKey::key);
  REQUIRE(it != study.keys.end());
  return *it;
}

TEST_CASE("the five released files become five strategies of one study, with nothing left over") {
  const TempFolder folder;
  std::vector<std::string> files;
  for (const auto& [file, text] : kReleased) {
    write_text(folder / file, text);
    files.push_back(folder / file);
  }
  const ImportedStudy study = import_released(files, {{"dataset", "caltech256"},
                                                      {"dataset", "stanforddogs"},
                                                      {"epoch", "20"},
                                                      {"learning_rate", "5e-4"},
                                                      {"weight_decay", "1e-2"},
                                                      {"rerun_id", "3"},
                                                      {"adapter_name", "finetune"},
                                                      {"adapter_name", "lp"}});
  for (const ImportedKey& key : study.keys) {
    CAPTURE(key.where + " " + key.key + ": " + key.note);
    CHECK(key.fate != ImportedKey::Fate::kNotMapped);
  }
  const Plan plan = plan_of(study);
  REQUIRE(plan.rows.size() == 7 * 2);
  std::map<std::string, std::string> strategy_of;
  for (const PlanRow& row : plan.rows) {
    strategy_of[row.variant] = row.strategy;
    CHECK(row.config.number("train.lr") == 5e-4);
    CHECK(row.config.number("train.weight_decay") == 1e-2);
    CHECK(row.config.integer("seed") == 3);
    CHECK(row.config.text("model.name") == "vit_base_patch16_224");
    CHECK(row.config.text("data.resize") == "stretch");
    CHECK(row.config.number("attack.eps") == 1.0 / 255);
  }
  CHECK(strategy_of == std::map<std::string, std::string>{{"config0_bitfit", "bitfit"},
                                                          {"config0_bn_all", "adapter"},
                                                          {"config0_compacter", "compacter"},
                                                          {"config0_ia3", "ia3"},
                                                          {"config0_lora", "lora"},
                                                          {"finetune", "full"},
                                                          {"lp", "lp"}});
  CHECK(plan_of(study, {"study.mode=official"}).rows[0].config.integer("model.classes") == 258);
  CHECK(plan.rows.back().dataset == "stanford_dogs");
}

TEST_CASE("values reach the settings: ranks, reductions, fractions of them") {
  const TempFolder folder;
  const ImportedStudy lora = import_text(folder, "Modules: [lora]\nLoRAConfig: {r: 16, alpha: 32}\n");
  CHECK(plan_of(lora).rows[0].config.integer("peft.rank") == 16);
  CHECK(plan_of(lora).rows[0].config.number("peft.alpha") == 32);
  CHECK(plan_of(lora).rows[0].dataset == "cifar10");
  const ImportedStudy bn = import_text(folder, "Modules: [bn]\nBnConfig: {reduction_factor: 32}\n");
  CHECK(plan_of(bn).rows[0].config.integer("peft.reduction") == 32);
  const ImportedStudy wide = import_text(folder, "Modules: [bn]\nBnConfig: {reduction_factor: 0.5}\n");
  CHECK(plan_of(wide).rows[0].config.integer("peft.bottleneck") == 1536);
  const ImportedStudy generated = import_text(folder, "Modules: [lora]\nLoRAConfig: {r: 4}\n");
  CHECK(plan_of(generated).rows[0].config.number("peft.alpha") == 8);
}

TEST_CASE("the names of the Trainer, and what is logged of a run") {
  const TempFolder folder;
  const ImportedStudy trainer = import_text(
      folder,
      "Modules: [lora]\nnum_train_epochs: 3.0\nper_device_train_batch_size: 64\nlearning_rate: 2.0e-05\nweight_decay: "
      "0.01\nlr_scheduler_type: linear\nwarmup_steps: 100\nmax_grad_norm: 1.0\nseed: 42\noptim: adamw_torch\n"
      "adam_beta1: 0.9\nadam_epsilon: 1.0e-08\nfp16: no\noutput_dir: /tmp/x\nlogging_steps: 10\nsave_total_limit: 1\n"
      "load_best_model_at_end: true\n");
  const Config c = plan_of(trainer).rows[0].config;
  CHECK(c.integer("train.epochs") == 3);
  CHECK(c.integer("train.batch") == 64);
  CHECK(c.number("train.lr") == 2e-5);
  CHECK(c.text("train.schedule") == "linear");
  CHECK(c.integer("train.warmup") == 100);
  CHECK(c.integer("seed") == 42);
  for (const ImportedKey& key : trainer.keys) {
    CAPTURE(key.key + ": " + key.note);
    CHECK(key.fate != ImportedKey::Fate::kNotMapped);
  }
  CHECK(key_of(trainer, "optim").fate == ImportedKey::Fate::kAsHere);
  CHECK(key_of(trainer, "output_dir").fate == ImportedKey::Fate::kNoInfluence);
  CHECK(key_of(trainer, "learning_rate").where == (folder / "c.yml") + ":4");
  CHECK(key_of(trainer, "learning_rate").setting == "train.lr = 2e-05");

  const ImportedStudy logged = import_text(
      folder,
      "_wandb: {desc: null, value: {python_version: 3.10}}\nmodel: {desc: null, value: "
      "google/vit-base-patch16-224-in21k}\n"
      "adapter_config_name: {desc: null, value: config0_lora}\nadapter_config:\n  desc: null\n  value:\n    Modules: "
      "[lora]\n    LoRAConfig: {r: 2, alpha: 2}\ndataset: {desc: null, value: domainnet}\nbatch_size: {desc: null, "
      "value: "
      "128}\nattack: {desc: null, value: pgd}\nalpha: {desc: null, value: 0.00098}\nsteps: {desc: null, value: "
      "50}\neps: "
      "{desc: null, value: 0.0039}\nepoch: {desc: null, value: 5}\nrerun_id: {desc: null, value: 1}\n",
      {{"domainnet_train_domain", "sketch"}, {"epoch", "7"}});
  const PlanRow row = plan_of(logged).rows[0];
  CHECK(row.dataset == "domainnet-sketch");
  CHECK(row.config.integer("peft.rank") == 2);
  CHECK(row.config.integer("train.epochs") == 7);  // an option is stronger than a file
  CHECK(row.config.integer("seed") == 1);
  CHECK(row.config.text("attack.name") == "none");
  CHECK(key_of(logged, "steps").note.find("never uses") != std::string::npos);
  const ImportedStudy full = import_text(folder, "adapter_config: {Modules: []}\nadapter_config_name: finetune\n");
  CHECK(plan_of(full).rows[0].strategy == "full");
}

TEST_CASE("what cannot be mapped is named with its place, in the rows and in the file") {
  const TempFolder folder;
  const ImportedStudy study = import_text(
      folder,
      "Modules: [lora]\nLoRAConfig:\n  selfattn_lora: False\n  attn_matrices: [k, v]\n  r: -3\n  vera_d: 1\n"
      "BnConfig: {reduction_factor: 8}\nfrobnicate: {deep: [1, \"2\\n3\"]}\noptim: sgd\nmax_steps: 500\n"
      "lr_scheduler_type: polynomial\nmodel: facebook/dino-vits16\n");
  const std::vector<std::string> expected = {"LoRAConfig.selfattn_lora",
                                             "LoRAConfig.attn_matrices",
                                             "LoRAConfig.r",
                                             "LoRAConfig.vera_d",
                                             "frobnicate",
                                             "optim",
                                             "max_steps",
                                             "lr_scheduler_type",
                                             "model"};
  for (const std::string& key : expected) {
    CAPTURE(key);
    CHECK(key_of(study, key).fate == ImportedKey::Fate::kNotMapped);
    CHECK(!key_of(study, key).note.empty());
    CHECK(study.toml.find("\"" + key + "\" = ") != std::string::npos);
  }
  CHECK(std::ranges::count(study.keys, ImportedKey::Fate::kNotMapped, &ImportedKey::fate) ==
        static_cast<int64_t>(expected.size()));
  CHECK(key_of(study, "LoRAConfig.attn_matrices").where.ends_with("c.yml:4"));
  CHECK(key_of(study, "BnConfig").fate == ImportedKey::Fate::kNoInfluence);
  CHECK(plan_of(study).rows.size() == 1);
}

TEST_CASE("several documents of a file are settings of their own; what is no run here is named") {
  const TempFolder folder;
  const ImportedStudy study = import_text(
      folder,
      "Modules: [lora]\nLoRAConfig: &c {r: 1, alpha: 1}\n---\nModules: [lora]\nLoRAConfig: {r: 4, alpha: 4}\n---\n"
      "Modules: [lora, bn]\nLoRAConfig: {r: 4}\n---\nModules: [pftuning]\nPrefixTuningConfig: {prefix_length: 20}\n");
  const Plan plan = plan_of(study);
  REQUIRE(plan.rows.size() == 2);
  CHECK(plan.rows[0].variant == "c");
  CHECK(plan.rows[1].variant == "c-2");
  CHECK(plan.rows[1].config.integer("peft.rank") == 4);
  CHECK(std::ranges::count_if(study.keys, [](const ImportedKey& k) {
          return k.key == "Modules" && k.fate == ImportedKey::Fate::kNotMapped;
        }) == 2);
}

TEST_CASE("taut study import-config writes a study that plans, names what is left, and overwrites nothing") {
  const TempFolder folder;
  write_text(folder / "config0_lora.yml", kReleased.at("config0_lora.yml") + "frobnicate: 1\n");
  const std::vector<std::string> command = {"study",
                                            "import-config",
                                            folder / "config0_lora.yml",
                                            "--dataset",
                                            "cifar10",
                                            "cub200",
                                            "--epoch",
                                            "20",
                                            "--learning_rate",
                                            "5e-4",
                                            "--out",
                                            folder / "imported.toml",
                                            "-o",
                                            "json"};
  const Outcome o = taut(command);
  CAPTURE(o.err);
  REQUIRE(o.code == 0);
  CHECK(o.err.find("not mapped") != std::string::npos);
  CHECK(o.err.find("frobnicate") != std::string::npos);
  const auto rows = nlohmann::json::parse(o.out);
  CHECK(rows.size() == 8 + 1 + 4);
  const Outcome plan = taut({"study", "plan", folder / "imported.toml", "--no-measure", "-o", "json"});
  CAPTURE(plan.err);
  REQUIRE(plan.code == 0);
  CHECK(nlohmann::json::parse(plan.out).size() == 2);
  const Outcome again = taut(command);
  CHECK(again.code == 2);
  CHECK(again.err.find("imported.toml") != std::string::npos);

  const struct {
    std::vector<std::string> more;
    int code;
    const char* word;
  } bad[] = {{{folder / "none.yml"}, 66, "none.yml"},
             {{folder / "config0_lora.yml", "--dataset", "cifra10"}, 2, "cifar10"},
             {{folder / "config0_lora.yml", "--dataset", "domainnet"}, 2, "domainnet_train_domain"},
             {{folder / "config0_lora.yml", "--epoch", "many"}, 2, "epoch"},
             {{folder / "config0_lora.yml", "--adapter_name", "lora"}, 2, "adapter_name"},
             {{}, 65, "Modules"}};
  for (const auto& c : bad) {
    std::vector<std::string> arguments = {"study", "import-config", "--out", folder / "x.toml"};
    arguments.insert(arguments.end(), c.more.begin(), c.more.end());
    const Outcome refused = taut(arguments);
    CAPTURE(refused.err);
    CHECK(refused.code == c.code);
    CHECK(refused.err.find(c.word) != std::string::npos);
    CHECK(!std::filesystem::exists(folder / "x.toml"));
  }
}

}  // namespace
}  // namespace taut::study
