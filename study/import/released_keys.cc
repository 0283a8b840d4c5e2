// Which key of the released code is which setting here.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "kernels/error.h"
#include "nn/models.h"
#include "study/config.h"
#include "study/import/released_config.h"
#include "tensor/nearest.h"

namespace taut::study {
namespace {

using Fate = ImportedKey::Fate;

// Of a key that is a number, a name or a flag.
struct Rule {
  const char* key;
  Fate fate;
  const char* setting;               // kSetting
  std::vector<std::string> as_here;  // kAsHere: the values that change nothing
  const char* note = "";
};

constexpr const char* kNeverUsed = "the released code reads it and never uses it: its PGD has 15 steps at 1/255";
constexpr const char* kBestModel = "study.mode=official ends with the best epoch, fixed with the last weights";

const std::vector<Rule>& rules() {
  static const std::vector<Rule> all = {
      {"epoch", Fate::kSetting, "train.epochs", {}},
      {"num_train_epochs", Fate::kSetting, "train.epochs", {}},
      {"batch_size", Fate::kSetting, "train.batch", {}},
      {"per_device_train_batch_size", Fate::kSetting, "train.batch", {}},
      {"learning_rate", Fate::kSetting, "train.lr", {}},
      {"weight_decay", Fate::kSetting, "train.weight_decay", {}},
      {"warmup_steps", Fate::kSetting, "train.warmup", {}},
      {"max_grad_norm", Fate::kSetting, "train.clip", {}},
      {"label_smoothing_factor", Fate::kSetting, "train.label_smoothing", {}},
      {"attack", Fate::kAsHere, "", {"pgd", "ood"}, "PGD; DomainNet's runs are judged out of domain"},
      {"optim", Fate::kAsHere, "", {"adamw_torch", "adamw_hf", "adamw_torch_fused"}},
      {"adam_beta1", Fate::kAsHere, "", {"0.9"}},
      {"adam_beta2", Fate::kAsHere, "", {"0.999"}},
      {"adam_epsilon", Fate::kAsHere, "", {"1e-8"}},
      {"gradient_accumulation_steps", Fate::kAsHere, "", {"1"}},
      {"warmup_ratio", Fate::kAsHere, "", {"0"}},
      {"max_steps", Fate::kAsHere, "", {"-1"}, "epochs decide"},
      {"fp16", Fate::kAsHere, "", {"false"}},
      {"bf16", Fate::kAsHere, "", {"false"}},
      {"tf32", Fate::kAsHere, "", {"false", "null"}},
      {"group_by_length", Fate::kAsHere, "", {"false"}},
      {"dataloader_drop_last", Fate::kAsHere, "", {"false"}},
      {"metric_for_best_model", Fate::kAsHere, "", {"accuracy", "eval_accuracy"}, kBestModel},
      {"load_best_model_at_end", Fate::kNoInfluence, "", {}, kBestModel},
      {"eps", Fate::kNoInfluence, "", {}, kNeverUsed},
      {"alpha", Fate::kNoInfluence, "", {}, kNeverUsed},
      {"steps", Fate::kNoInfluence, "", {}, kNeverUsed},
  };
  return all;
}

// Where things lie, how fast it runs, what is printed.
bool is_housekeeping(const std::string& key) {
  static const std::vector<std::string> all = {"output_dir",
                                               "overwrite_output_dir",
                                               "label_names",
                                               "remove_unused_columns",
                                               "per_device_eval_batch_size",
                                               "evaluation_strategy",
                                               "eval_strategy",
                                               "report_to",
                                               "run_name",
                                               "job_type",
                                               "disable_tqdm",
                                               "push_to_hub",
                                               "use_cpu",
                                               "no_cuda",
                                               "wandb_version",
                                               "_wandb",
                                               "corruption_type"};
  static const std::vector<std::string> prefixes = {"logging_", "save_", "dataloader_", "hub_"};
  return std::ranges::count(all, key) > 0 ||
         std::ranges::any_of(prefixes, [&](const std::string& p) { return key.starts_with(p); });
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::optional<double> number_of(const std::string& text) {
  try {
    return parse_number("", text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// The same number, or the same word in YAML's several spellings.
bool same_value(const std::string& a, const std::string& b) {
  const auto x = number_of(a), y = number_of(b);
  if (x && y) return *x == *y;
  const auto word = [](const std::string& text) {
    const std::string w = lower(text);
    return w == "yes" || w == "on" ? std::string("true") : w == "no" || w == "off" ? std::string("false") : w;
  };
  return word(a) == word(b);
}

// One document, or the options: writes down what becomes of every key.
class Reading {
 public:
  Reading(std::string file, ReleasedPart& part, std::vector<ImportedKey>& keys)
      : file_(std::move(file)), part_(part), keys_(keys) {}

  void document(const YamlNode& root) {
    if (!root.is_map()) return not_mapped("", root, "expected a map of settings");
    for (const auto& [key, node] : root.fields) {
      // Weights & Biases: every value with a description.
      const YamlNode* inner = node.is_map() ? node.find("value") : nullptr;
      top(key, inner != nullptr ? *inner : node);
    }
  }

  void top(const std::string& key, const YamlNode& node) {
    if (key == "adapter_config" && node.is_map()) {
      modules(node);
      for (const auto& [inner, value] : node.fields)
        if (inner != "Modules" && !inner.ends_with("Config"))
          not_mapped(key + "." + inner, value, "no such key is known");
      return;
    }
    if (key == "Modules" || key.ends_with("Config")) return;  // read by modules(), which is called for the root too
    if (key == "adapter_name" || key == "adapter_config_name") return lone_name(key, node);
    if (key == "model" || key == "model_name_or_path") return model(key, node);
    if (key == "dataset" || key == "dataset_name") return dataset(key, node);
    if (key == "domainnet_train_domain") return domain(key, node);
    if (key == "rerun_id" || key == "seed") return seed(key, node);
    if (key == "lr_scheduler_type") return scheduler(key, node);
    scalar(key, node);
  }

  // `Modules` and the block that its module reads.
  void modules(const YamlNode& around) {
    const YamlNode* list = around.find("Modules");
    const std::string module = list == nullptr ? "" : strategy(*list);
    const std::string block = module == "bn"                                            ? "BnConfig"
                              : module == "lora" || module == "lokr" || module == "ia3" ? "LoRAConfig"
                                                                                        : "";
    for (const auto& [key, node] : around.fields) {
      if (!key.ends_with("Config")) continue;
      if (key != block)
        no_influence(key, node, "no module of this file reads it");
      else if (!node.is_map())
        not_mapped(key, node, "expected a map of settings");
      else if (module == "bn")
        bottleneck(node);
      else if (module == "ia3")
        ia3(node);
      else
        lora(node);
    }
  }

 private:
  // ---- what becomes of a key ----
  ImportedKey& add(const std::string& key, const YamlNode& node, Fate fate, const std::string& note) {
    const std::string where = node.line > 0 ? fmt::format("{}:{}", file_, node.line) : file_;
    return keys_.emplace_back(ImportedKey{where, key, node.to_text(), fate, "", note});
  }
  void not_mapped(const std::string& key, const YamlNode& node, const std::string& why) {
    add(key, node, Fate::kNotMapped, why);
  }
  void as_here(const std::string& key, const YamlNode& node, const std::string& note = "") {
    add(key, node, Fate::kAsHere, note);
  }
  void no_influence(const std::string& key, const YamlNode& node, const std::string& note) {
    add(key, node, Fate::kNoInfluence, note);
  }
  void setting(const std::string& key, const YamlNode& node, const std::string& name, std::string value,
               const std::string& note = "") {
    const auto number = number_of(value);  // 20.0 epochs are 20
    if (find_key(name).type == KeyType::kInteger && number && *number == std::floor(*number) &&
        std::abs(*number) < 1e15)
      value = fmt::format("{:.0f}", *number);
    Config config;
    try {
      config.set(name, value, Source::kFile);
    } catch (const Error& error) {
      return not_mapped(key, node, error.what());
    }
    if (name != "model.strategy") part_.settings[name] = config.value_text(name);
    add(key, node, Fate::kSetting, note).setting = name + " = " + config.value_text(name);
  }
  // A key of a block that changes nothing if it has the value that is built in here.
  void expect(const std::string& key, const YamlNode& node, const std::string& value, const std::string& otherwise) {
    if (same_value(node.to_text(), value))
      as_here(key, node);
    else
      not_mapped(key, node, fmt::format("{}; expected {}", otherwise, value));
  }

  // The one module there may be, "" where it has no counterpart.
  std::string strategy(const YamlNode& list) {
    static const std::map<std::string, std::string> kStrategies = {{"lora", "lora"},     {"lokr", "lora"},
                                                                   {"bn", "adapter"},    {"compacter", "compacter"},
                                                                   {"bitfit", "bitfit"}, {"ia3", "ia3"}};
    if (list.kind == YamlNode::Kind::kList && list.items.empty()) {
      as_here("Modules", list, "no module: `finetune` or `lp`, by name");
      return "";
    }
    const auto known = list.items.size() == 1 ? kStrategies.find(list.items[0].text) : kStrategies.end();
    if (known == kStrategies.end()) {
      not_mapped("Modules", list,
                 list.items.size() > 1 ? "several modules at once have no counterpart here"
                                       : "this module has no counterpart here");
      return "";
    }
    part_.strategy = known->second;
    setting("Modules", list, "model.strategy", part_.strategy,
            known->first == "lokr" ? "the released code makes a LoRA of it" : "");
    return known->first;
  }

  // ---- settings of a run ----
  void scalar(const std::string& key, const YamlNode& node) {
    const auto rule = std::ranges::find_if(rules(), [&](const Rule& r) { return r.key == key; });
    if (rule == rules().end()) {
      if (is_housekeeping(key)) return no_influence(key, node, "");
      return not_mapped(key, node, "no such key is known");
    }
    if (rule->fate == Fate::kSetting) return setting(key, node, rule->setting, node.to_text(), rule->note);
    if (rule->fate == Fate::kNoInfluence) return no_influence(key, node, rule->note);
    const bool same = std::ranges::any_of(rule->as_here, [&](const auto& v) { return same_value(v, node.to_text()); });
    if (same) return as_here(key, node, rule->note);
    not_mapped(key, node, fmt::format("expected {}", fmt::join(rule->as_here, " or ")));
  }

  // google/vit-base-patch16-224-in21k is vit_base_patch16_224 under Hugging Face's names.
  void model(const std::string& key, const YamlNode& node) {
    const std::string id = node.to_text(), repository = id.substr(id.find('/') + 1);
    std::string name = repository.substr(0, repository.rfind("-in21k"));
    std::ranges::replace(name, '-', '_');
    const std::vector<std::string> known = nn::model_names();
    if (!id.starts_with("google/vit-") || std::ranges::count(known, name) == 0)
      return not_mapped(key, node, "no such model here; hint: model.name, model.weights");
    part_.settings["model.flavour"] = "hf";
    part_.settings["model.weights"] = "weights/" + repository + "/model.safetensors";
    setting(key, node, "model.name", name, "weights below data.root: " + part_.settings["model.weights"]);
  }

  void dataset(const std::string& key, const YamlNode& node) {
    part_.datasets.push_back(node.to_text());
    add(key, node, Fate::kSetting, "").setting = "a [[study.dataset]]";
  }

  void domain(const std::string& key, const YamlNode& node) {
    if (node.kind == YamlNode::Kind::kNull) return as_here(key, node);
    part_.domain = node.to_text();
    add(key, node, Fate::kSetting, "").setting = "data.domain = " + part_.domain;
  }

  void seed(const std::string& key, const YamlNode& node) {
    if (node.kind == YamlNode::Kind::kNull) return as_here(key, node);
    Config config;
    try {
      config.set("seed", node.to_text(), Source::kFile);
    } catch (const Error& error) {
      return not_mapped(key, node, error.what());
    }
    part_.seeds.push_back(config.value_text("seed"));
    add(key, node, Fate::kSetting, key == "seed" ? "" : "a repeat, which here has a seed of its own").setting =
        "seed = " + part_.seeds.back();
  }

  void scheduler(const std::string& key, const YamlNode& node) {
    const std::string kind = node.to_text();
    setting(key, node, "train.schedule", kind == "constant_with_warmup" ? "constant" : kind);
  }

  // `finetune` and `lp` have no module: an option names them, and what is logged of their runs.
  void lone_name(const std::string& key, const YamlNode& node) {
    if (node.text != "finetune" && node.text != "lp")
      return key == "adapter_name" ? not_mapped(key, node, "expected finetune or lp; the others come from a file")
                                   : no_influence(key, node, "");
    part_.strategy = node.text == "lp" ? "lp" : "full";
    setting(key, node, "model.strategy", part_.strategy);
  }

  // ---- the blocks of modules ----
  void lora(const YamlNode& block) {
    bool has_alpha = false;
    for (const auto& [key, node] : block.fields) {
      const std::string path = "LoRAConfig." + key;
      if (key == "r") {
        setting(path, node, "peft.rank", node.to_text());
      } else if (key == "alpha") {
        has_alpha = true;
        setting(path, node, "peft.alpha", node.to_text());
      } else {
        adapted(path, key, node, {"k", "q", "v"}, "add");
      }
    }
    // The generator of sweeps leaves it out, and the library then takes 8 whatever the rank.
    if (!has_alpha) part_.settings["peft.alpha"] = "8";
  }

  void ia3(const YamlNode& block) {
    for (const auto& [key, node] : block.fields) {
      const std::string path = "LoRAConfig." + key;
      if (key == "r" || key == "alpha")
        expect(path, node, "1", "(IA)^3 has one vector a place");
      else
        adapted(path, key, node, {"k", "v"}, "scale");
    }
  }

  // Where LoRA and (IA)^3 stand in a ViT is built in here.
  void adapted(const std::string& path, const std::string& key, const YamlNode& node,
               const std::vector<std::string>& matrices, const std::string& mode) {
    static const std::string kPlace = "the places that are adapted are built in here";
    if (key == "attn_matrices") {
      std::vector<std::string> asked;
      for (const YamlNode& item : node.items) asked.push_back(item.text);
      std::ranges::sort(asked);
      if (asked == matrices) return as_here(path, node);
      return not_mapped(path, node, fmt::format("{}; expected [{}]", kPlace, fmt::join(matrices, ", ")));
    }
    if (key == "selfattn_lora" || key == "intermediate_lora" || key == "output_lora")
      return expect(path, node, "true", kPlace);
    if (key == "composition_mode") return expect(path, node, mode, "built in here");
    if (key == "dropout") return expect(path, node, "0", "there is no dropout here");
    if (key == "use_gating") return expect(path, node, "false", "there is no gating here");
    not_mapped(path, node, "no such key is known");
  }

  void bottleneck(const YamlNode& block) {
    static const std::map<std::string, std::string> kBuiltIn = {{"output_adapter", "true"},
                                                                {"mh_adapter", "true"},
                                                                {"non_linearity", "gelu"},
                                                                {"is_parallel", "false"},
                                                                {"use_gating", "false"},
                                                                {"dropout", "0"},
                                                                {"scaling", "1"},
                                                                {"init_weights", "bert"},
                                                                {"ln_before", "false"},
                                                                {"ln_after", "false"},
                                                                {"phm_layer", "false"},
                                                                {"original_ln_before", "false"},
                                                                {"original_ln_after", "true"},
                                                                {"residual_before_ln", "true"}};
    for (const auto& [key, node] : block.fields) {
      const std::string path = "BnConfig." + key;
      const auto built_in = kBuiltIn.find(key);
      if (key == "reduction_factor")
        reduction(path, node);
      else if (built_in != kBuiltIn.end())
        expect(path, node, built_in->second, "built in here");
      else
        not_mapped(path, node, "no such key is known");
    }
  }

  // A fraction widens the bottleneck beyond the model, which peft.bottleneck says; the library takes width // factor.
  void reduction(const std::string& path, const YamlNode& node) {
    const auto factor = number_of(node.to_text());
    if (!factor || *factor <= 0) return not_mapped(path, node, "expected a number above 0");
    if (*factor == std::floor(*factor)) return setting(path, node, "peft.reduction", node.to_text());
    const auto named = part_.settings.find("model.name");
    const std::string model = named == part_.settings.end() ? "vit_base_patch16_224" : named->second;
    const auto width = static_cast<double>(nn::vit_config(model).dim);
    setting(path, node, "peft.bottleneck", fmt::format("{:.0f}", std::floor(width / *factor)),
            fmt::format("{}'s width / {}", model, node.to_text()));
  }

  std::string file_;
  ReleasedPart& part_;
  std::vector<ImportedKey>& keys_;
};

}  // namespace

const char* name(ImportedKey::Fate fate) {
  switch (fate) {
    case Fate::kSetting: return "setting";
    case Fate::kAsHere: return "as here";
    case Fate::kNoInfluence: return "no influence";
    case Fate::kNotMapped: return "not mapped";
  }
  return "";
}

ReleasedPart read_released(const YamlNode& document, const std::string& file, std::vector<ImportedKey>& keys) {
  ReleasedPart part;
  Reading reading(file, part, keys);
  reading.document(document);
  if (document.is_map()) reading.modules(document);
  return part;
}

std::vector<std::string> released_options() {
  return {"adapter_name", "dataset", "domainnet_train_domain", "epoch", "batch_size", "learning_rate", "weight_decay",
          "model",        "rerun_id"};
}

void read_option(const std::string& option, const std::string& value, ReleasedPart& part,
                 std::vector<ImportedKey>& keys) {
  TAUT_CHECK(std::ranges::count(released_options(), option) > 0, "[--{}] is no option of the released code; hint: {}",
             option, did_you_mean(option, released_options()));
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.text = value;
  Reading("--" + option, part, keys).top(option, node);
  const ImportedKey& became = keys.back();
  TAUT_CHECK(became.fate != Fate::kNotMapped, "[--{}] {}: {}", option, value, became.note);
}

}  // namespace taut::study
