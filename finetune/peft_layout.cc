// Hugging Face peft's layout: base_model.model.MODULE.{lora_A.weight, lora_B.weight, lora_B.bias,
// lora_magnitude_vector, ia3_l, ln_tuning_layers.{weight, bias}}, and whole parameters of the model (modules_to_save,
// biases) under their own names.
//
//   LoRA       W + s B A, s = alpha / r (rsLoRA: alpha / sqrt(r)), alpha from alpha_pattern or lora_alpha, r from the
//              tensors, which have that of rank_pattern or `r` where the configuration says one; of a convolution
//              A (r, in, k, k), B (out, r, 1, 1)
//   DoRA       rows of W + s B A, made as long as the magnitude vector says
//   (IA)^3     l (out, 1) scales what leaves a layer, l (1, in) what enters it; of a convolution (1, out, 1, 1) or, as
//              feedforward_modules say, (1, in, 1, 1)
//   LN-tuning  the layer norms' gains and biases themselves, in place of the base's
//
// Modules are named as in ViTForImageClassification or in ViTModel (no `vit.`), of transformers 4 or 5, or in timm; a
// convolutional net's as in its files of weights.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <regex>
#include <set>

#include "finetune/layouts.h"
#include "finetune/module_pattern.h"
#include "nn/file_names.h"
#include "tensor/atomic_file.h"
#include "tensor/safetensors.h"
#include "tensor/weights_file.h"

namespace taut::finetune {
namespace {

constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kCounter = ".num_batches_tracked";

// The study's modules: q, k, v, both layers of the MLP, not the attention's output projection.
// One spelling a pattern, so that the other version of transformers says that it finds no module. The norm behind the
// blocks is called the same in both, so it is a module to save.
struct Modules {
  const char *lora, *ia3, *ln;
};
constexpr Modules kModules = {
    R"(.*\.(attention\.attention\.(query|key|value)|intermediate\.dense|layer\.\d+\.output\.dense))",
    R"(.*\.(attention\.attention\.(key|value)|intermediate\.dense|layer\.\d+\.output\.dense))",
    R"(.*\.layer\.\d+\.layernorm_(before|after))"};
constexpr Modules kModulesV5 = {R"(.*\.(attention\.(q|k|v)_proj|mlp\.fc[12]))",
                                R"(.*\.(attention\.(k|v)_proj|mlp\.fc[12]))",
                                R"(.*\.layers\.\d+\.layernorm_(before|after))"};
constexpr const char* kLastNorm = "vit.layernorm";
constexpr const char* kLnLayers = ".ln_tuning_layers";

// What a pattern says of a module: peft matches "(.*\\.)?(PATTERN)$" from the start of its name.
class ByPattern {
 public:
  ByPattern() = default;
  ByPattern(const std::map<std::string, double>& patterns, const char* key, const std::string& file) {
    // Every pattern may meet every module.
    constexpr size_t kMostBytes = 16384, kOfOne = 16;
    size_t bytes = 0;
    for (const auto& [pattern, value] : patterns) bytes += pattern.size() + kOfOne;
    if (bytes > kMostBytes)
      fail(Exit::kBadData,
           "[{}] key '{}': expected patterns of at most {} bytes ({} for each and its own), got {} of {}", file, key,
           kMostBytes, kOfOne, patterns.size(), bytes);
    for (const auto& [pattern, value] : patterns)
      values_.emplace_back(ModulePattern(pattern, key, file, "(.*\\.)?"), value);
  }
  double of(const std::string& module, double otherwise) const {
    for (const auto& [pattern, value] : values_)
      if (pattern.matches(module)) return value;
    return otherwise;
  }

 private:
  std::vector<std::pair<ModulePattern, double>> values_;
};

// Modules whose input (IA)^3 scales: `feedforward_modules` is a pattern, or the ends of their names.
class Feedforward {
 public:
  Feedforward(const Json& config, const std::string& file) {
    const auto it = config.find("feedforward_modules");
    if (it == config.end()) return;
    if (it->is_string()) pattern_.emplace(it->get<std::string>(), "feedforward_modules", file);
    if (!it->is_array()) return;
    for (const Json& end : *it)
      if (end.is_string()) ends_.push_back(end.get<std::string>());
  }
  bool has(const std::string& module) const {
    return (pattern_ && pattern_->matches(module)) ||
           std::any_of(ends_.begin(), ends_.end(), [&](const std::string& end) { return module.ends_with(end); });
  }

 private:
  std::optional<ModulePattern> pattern_;
  std::vector<std::string> ends_;
};

enum class Type { kLora, kIa3, kLn };

struct PeftConfig {
  Type type = Type::kLora;
  // Of LoRA; r 0: the configuration does not say.
  double r = 0, alpha = 0;
  bool rslora = false, dora = false;
  ByPattern ranks, alphas;

  bool is(Type t) const { return type == t; }
};

PeftConfig check_config(const Json& config, const std::string& file) {
  ConfigKeys keys(config, file);
  const auto type = keys.get<std::string>("peft_type", "");
  if (type != "LORA" && type != "IA3" && type != "LN_TUNING")
    fail(Exit::kBadData, "[{}] key 'peft_type': expected LORA, IA3 or LN_TUNING, got '{}'", file, printable(type));
  keys.ignore({"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type",
               "target_modules", "exclude_modules", "modules_to_save", "runtime_config"});
  keys.expect("fan_in_fan_out", false);
  PeftConfig peft;
  peft.type = type == "LORA" ? Type::kLora : type == "IA3" ? Type::kIa3 : Type::kLn;
  if (peft.is(Type::kLora)) {
    // `bias` says which biases were trained: those are in the file. `megatron_core`, `qalora_group_size` are unused
    // unless their switches are on.
    keys.ignore({"bias", "lora_bias", "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core",
                 "qalora_group_size", "eva_config", "ensure_weight_tying"});
    peft.alpha = keys.get<double>("lora_alpha", 8);
    peft.rslora = keys.get<bool>("use_rslora", false);
    peft.dora = keys.get<bool>("use_dora", false);
    peft.alphas = {keys.get<std::map<std::string, double>>("alpha_pattern", {}), "alpha_pattern", file};
    peft.r = keys.get<double>("r", 0);
    peft.ranks = {keys.get<std::map<std::string, double>>("rank_pattern", {}), "rank_pattern", file};
    // Other starts (pissa, olora, ...) changed the base, and the file fits the changed one alone.
    const auto it = config.find("init_lora_weights");
    if (it != config.end() && !it->is_boolean() && *it != "gaussian" && *it != "eva" && *it != "orthogonal")
      keys.expect("init_lora_weights", true);
    keys.ignore({"init_lora_weights"});
  } else if (peft.is(Type::kIa3)) {
    keys.ignore({"feedforward_modules", "init_ia3_weights"});
  }
  keys.finish();
  return peft;
}

// "a.b.lora_A.weight" -> {"a.b", "lora_A.weight"}; the second empty for a parameter of the model itself.
std::pair<std::string, std::string> split_name(const std::string& name) {
  static const std::regex kAdded(
      "(.*)\\.(lora_A\\.weight|lora_B\\.weight|lora_B\\.bias|lora_magnitude_vector"
      "(?:\\.weight)?|ia3_l)");
  std::smatch match;
  if (!std::regex_match(name, match, kAdded)) return {name, ""};
  return {match[1], match[2]};
}

}  // namespace

bool is_peft_config(const Json& config) { return config.contains("peft_type"); }

ForeignDelta load_peft(const std::string& folder, const Json& config, nn::Model& model) {
  const std::string config_file = folder + "/adapter_config.json";
  const PeftConfig peft = check_config(config, config_file);
  const bool is_lora = peft.is(Type::kLora);
  const Feedforward feedforward(peft.is(Type::kIa3) ? config : Json(), config_file);
  const WeightsFile file = WeightsFile::open(file_in(folder, {"adapter_model.safetensors", "adapter_model.bin"}));
  Edits edits(model, file.path());
  ForeignDelta delta;
  std::map<std::string, Update> updates;
  std::set<std::string> norms;
  for (const std::string& stored : file.names()) {
    if (!stored.starts_with(kPrefix))
      fail(Exit::kBadData, "[{}] tensor '{}': expected a name that begins with '{}'", file.path(), printable(stored),
           kPrefix);
    const auto [module, part] = split_name(stored.substr(std::string(kPrefix).size()));
    // A batch norm's, which counts and computes nothing.
    if (module.ends_with(kCounter) &&
        edits.find(module.substr(0, module.size() - std::string(kCounter).size()) + ".running_mean") != nullptr)
      continue;
    const Tensor t = edits.read(file, stored);
    Update& u = updates[module];
    if (part == "lora_A.weight") {
      u.a = t;
    } else if (part == "lora_B.weight") {
      u.b = t;
    } else if (part == "lora_B.bias") {
      u.b_bias = t;
    } else if (part == "ia3_l") {
      u.l = t;
    } else if (!part.empty()) {
      u.magnitude = t;
    } else {
      updates.erase(module);
      std::string name = module;
      if (const size_t at = name.find(".base_layer."); at != std::string::npos) name.erase(at, 11);
      if (const size_t at = name.rfind(kLnLayers + std::string(".")); peft.is(Type::kLn) && at != std::string::npos) {
        name.erase(at, std::string(kLnLayers).size());
        norms.insert(name.substr(0, at));
      }
      const nn::NameEntry* e = edits.find(name);
      if (e == nullptr) fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", file.path(), printable(stored));
      delta.has_head = delta.has_head || e->path == model.head_path() + ".weight";
      edits.set(name, t);
    }
  }
  for (auto& [module, u] : updates) {
    edits.expect(module + ".weight");  // a name that the model has is short: patterns may look at it
    if (peft.is(Type::kLn) || is_lora == u.l.defined())
      fail(Exit::kBadData, "[{}] module '{}': expected {} as the configuration says", file.path(), printable(module),
           is_lora               ? "LoRA"
           : peft.is(Type::kIa3) ? "(IA)^3"
                                 : "LN-tuning");
    if (peft.dora != u.magnitude.defined() || (peft.dora && u.b_bias.defined()))
      fail(Exit::kBadData, "[{}] module '{}': expected {} magnitude vector{}, as use_dora says", file.path(),
           printable(module), peft.dora ? "a" : "no", peft.dora ? " and no bias" : "");
    if (u.a.defined() && u.a.ndim() > 0 && u.a.size(0) > 0) {
      const auto rank = static_cast<double>(u.a.size(0));
      u.scale = peft.alphas.of(module, peft.alpha) / (peft.rslora ? std::sqrt(rank) : rank);
      if (const double said = peft.ranks.of(module, peft.r); said != 0 && said != rank)
        fail(Exit::kBadData, "[{}] lora_A of '{}': expected rank {}, as {} says, got {}", file.path(), module, said,
             config_file, to_string(u.a.shape()));
    }
    u.of_input = feedforward.has(module);
    edits.fold(module, u);
  }
  if (updates.empty() && norms.empty()) fail(Exit::kBadData, "[{}] expected adapted modules, got none", file.path());
  edits.commit();
  delta.strategy = &strategy("full");
  delta.method = is_lora ? "lora" : peft.is(Type::kIa3) ? "ia3" : "ln";
  delta.description = fmt::format("{} of {} modules in peft's layout",
                                  peft.is(Type::kLn)    ? "LN-tuning"
                                  : peft.is(Type::kIa3) ? "(IA)^3"
                                  : peft.dora           ? "DoRA"
                                                        : "LoRA",
                                  updates.size() + norms.size());
  return delta;
}

namespace {

// What a list of modules in a configuration says of one: the last part of its name, from the last one that is no index.
std::string ending_of(const std::string& module) {
  size_t at = module.rfind('.');
  while (at != std::string::npos && std::isdigit(static_cast<unsigned char>(module[at + 1])) != 0)
    at = at == 0 ? std::string::npos : module.rfind('.', at - 1);
  return module.substr(at == std::string::npos ? 0 : at + 1);
}

// A tensor of a convolutional net's delta in peft's layout.
struct Written {
  std::string module, part;
  Tensor tensor;
};

Written written(const std::string& name, const Tensor& t) {
  const size_t dot = name.rfind('.');
  const std::string module = name.substr(0, dot), part = name.substr(dot + 1);
  if (part == "lora_A" || part == "lora_B") return {module, part + ".weight", t};
  if (part != "ia3") return {module, part, t};
  // The nets' hidden linear layers are called fc1, linear1, ...; all else that is adapted is a convolution.
  const std::string last = module.substr(module.rfind('.') + 1);
  const bool is_linear = last.starts_with("fc") || last.starts_with("linear");
  const int64_t out = t.numel();
  return {module, "ia3_l", t.reshape(is_linear ? Shape{out, 1} : Shape{1, out, 1, 1})};
}

}  // namespace

void write_peft(const OwnDelta& delta, const std::string& folder, bool v5) {
  TAUT_CHECK(delta.is_vit || !v5, "[{}] only ViTs have names that changed with transformers 5; hint: --names peft",
             delta.file);
  const bool is_lora = delta.strategy == "lora", is_ln = delta.is_vit && delta.strategy == "ln";
  const bool hub_has_it =
      delta.is_vit && (delta.strategy == "adapter" || delta.strategy == "compacter" || delta.strategy == "lp");
  TAUT_CHECK(is_lora || delta.strategy == "ia3" || is_ln,
             "[{}] peft has no type for what '{}' trains; hint: lora, ia3 and a ViT's ln can be written{}", delta.file,
             delta.strategy, hub_has_it ? ", or --names adapterhub" : "");
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::set<std::string> targets, saved;  // `targets` of a convolutional net
  for (const auto& [name, t] : delta.tensors) {
    if (!delta.is_vit) {
      const Written w = written(name, t);
      const bool is_added = w.part.starts_with("lora_") || w.part == "ia3_l";
      (is_added ? targets : saved).insert(ending_of(w.module));
      tensors.emplace_back(kPrefix + w.module + "." + w.part, w.tensor);
      // peft saves and wants a batch norm whole.
      if (w.part == "running_mean") tensors.emplace_back(kPrefix + w.module + kCounter, Tensor::zeros({}, DType::kI64));
      continue;
    }
    std::string module = name;
    if (name.starts_with("heads.default.1.")) {
      module = "classifier" + name.substr(15);
    } else if (is_ln) {
      if (const size_t dot = name.rfind('.'); dot != std::string::npos && !name.starts_with(kLastNorm))
        module.insert(dot, kLnLayers);
    } else if (is_lora) {
      module = std::regex_replace(name, std::regex("\\.loras\\.lora\\.(lora_[AB])$"), ".$1.weight");
    } else {
      module = std::regex_replace(name, std::regex("\\.loras\\.ia3\\.lora_B$"), ".ia3_l");
    }
    tensors.emplace_back(kPrefix + (v5 ? nn::spelled(module, nn::spelling_by_name("hf_v5")) : module), t);
  }
  const Modules& modules = v5 ? kModulesV5 : kModules;
  const char* of_vit = is_lora ? modules.lora : is_ln ? modules.ln : modules.ia3;
  if (delta.is_vit) saved.insert("classifier");
  if (is_ln) saved.insert(kLastNorm);
  Json config = {{"auto_mapping", nullptr},
                 {"base_model_name_or_path", nullptr},
                 {"inference_mode", true},
                 {"modules_to_save", saved},
                 {"peft_type", is_lora ? "LORA"
                               : is_ln ? "LN_TUNING"
                                       : "IA3"},
                 {"revision", nullptr},
                 {"target_modules", delta.is_vit ? Json(of_vit) : Json(targets)},
                 {"task_type", nullptr}};
  if (!is_ln) config["fan_in_fan_out"] = false;
  if (is_lora) {
    config.update({{"bias", "none"},
                   {"init_lora_weights", true},
                   {"lora_alpha", delta.alpha},
                   {"lora_dropout", 0.0},
                   {"r", delta.rank},
                   {"use_dora", false},
                   {"use_rslora", false}});
  } else if (!is_ln) {
    config.update({{"feedforward_modules", Json::array()}, {"init_ia3_weights", true}});
  }
  std::set<std::string> names;
  for (const auto& [name, t] : tensors)
    if (!names.insert(name).second)
      fail(Exit::kBadData, "[{}] two tensors are '{}' in peft's layout", delta.file, printable(name));
  make_folder(folder);
  write_safetensors(folder + "/adapter_model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomically(folder + "/adapter_config.json", config.dump(2));
}

}  // namespace taut::finetune
