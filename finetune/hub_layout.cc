// AdapterHub's layout, as the library `adapters` writes it for ViTAdapterModel. Tensors keep the adapter's name N:
//
//   MODULE.loras.N.lora_A, lora_B                             LoRA; (IA)^3 has lora_B (out, 1) alone
//   LAYER.{attention,output.output}_adapters.adapters.N.*     bottlenecks: adapter_down.0, adapter_up, scaling
//   vit.shared_parameters.N.phm_rule                          Compacter's rule
//   heads.H.1.{weight, bias}                                  a head
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <regex>
#include <set>

#include "autograd/ops.h"
#include "finetune/bottleneck.h"
#include "finetune/layouts.h"
#include "tensor/atomic_file.h"
#include "tensor/safetensors.h"
#include "tensor/weights_file.h"

namespace taut::finetune {
namespace {

constexpr const char* kVersion = "adapters.1.3.0";  // the library whose layout is written

// The folder itself or the one folder in it that holds `name`; empty: none. Error(kBadData) where two do.
std::string folder_with(const std::string& folder, const char* name) {
  std::vector<std::string> all;
  if (std::filesystem::is_regular_file(folder + "/" + name)) all.push_back(folder);
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_directory() && std::filesystem::is_regular_file(entry.path() / name))
      all.push_back(entry.path().string());
  if (all.size() > 1)
    fail(Exit::kBadData, "[{}] expected one {}, got one in {}", folder, name, fmt::join(all, " and in "));
  return all.empty() ? "" : all[0];
}

// The configuration proper, and the name tensors carry.
struct HubConfig {
  std::string file, name, version;
  Json config;
};

HubConfig hub_config(const std::string& file) {
  const Json json = read_config(file);
  const auto text = [&](const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  HubConfig hub{file, text("name"), text("version"), json.value("config", Json())};
  if (hub.name.empty() || !hub.config.is_object())
    fail(Exit::kBadData, "[{}] expected keys 'name' and 'config', as the library adapters writes them", file);
  return hub;
}

// Until version 1.1.0 the library read alpha and never used it. Versions are ordered as Python orders them (PEP 440):
// 1.1.0.dev0, 1.1.0a1 and 1.1rc1 come before 1.1.0; 1.1 and 1.1.0.post1 do not.
bool ignores_alpha(const std::string& version) {
  constexpr std::string_view kLibrary = "adapters.";
  if (!version.starts_with(kLibrary)) return false;
  const char *at = version.data() + kLibrary.size(), *end = version.data() + version.size();
  for (int part = 0;; ++part) {
    const uint64_t since = part < 2 ? 1 : 0;
    uint64_t number = UINT64_MAX;  // where there are too many digits
    const char* digits = at;
    at = std::from_chars(digits, end, number).ptr;
    if (at == digits) return false;  // no version
    if (number != since) return number < since;
    if (end - at > 1 && *at == '.' && at[1] >= '0' && at[1] <= '9') {
      ++at;
      continue;
    }
    if (part == 0) return true;  // "1" is 1.0
    break;
  }
  while (at != end && (*at == '.' || *at == '-' || *at == '_')) ++at;
  const std::string_view suffix(at, static_cast<size_t>(end - at));
  constexpr std::array kBefore = {"a", "b", "c", "rc", "pre", "dev"};
  return std::any_of(kBefore.begin(), kBefore.end(), [&](const char* word) { return suffix.starts_with(word); });
}

void load_loras(const HubConfig& hub, const WeightsFile& file, Edits& edits, ForeignDelta& delta) {
  ConfigKeys keys(hub.config, hub.file);
  keys.ignore({"architecture", "selfattn_lora", "intermediate_lora", "output_lora", "leave_out", "dropout",
               "attn_matrices", "init_weights", "init_weights_seed", "dtype"});
  const auto mode = keys.get<std::string>("composition_mode", "add");
  const auto rank = keys.get<double>("r", 8);
  const auto alpha = keys.get<double>("alpha", 8);
  const bool is_lora = mode == "add";
  if (!is_lora && mode != "scale")
    fail(Exit::kBadData, "[{}] key 'composition_mode': expected add or scale, got '{}'", hub.file, printable(mode));
  keys.finish();
  if (rank < 1) fail(Exit::kBadData, "[{}] key 'r': expected a rank >= 1, got {}", hub.file, rank);
  const double scale = ignores_alpha(hub.version) ? 1 : alpha / rank;
  std::map<std::string, Update> updates;
  const std::string marker = ".loras." + hub.name + ".";
  for (const std::string& stored : file.names()) {
    const size_t at = stored.find(marker);
    const std::string part = at == std::string::npos ? "" : stored.substr(at + marker.size());
    if (part != "lora_B" && !(is_lora && part == "lora_A"))
      fail(Exit::kBadData, "[{}] tensor '{}' is unexpected in {} called '{}'", file.path(), printable(stored),
           is_lora ? "LoRA" : "(IA)^3", printable(hub.name));
    Update& u = updates[stored.substr(0, at)];
    const Tensor t = edits.read(file, stored);
    if (part == "lora_A" && t.ndim() > 0 && static_cast<double>(t.size(0)) != rank)
      fail(Exit::kBadData, "[{}] tensor '{}': expected rank {}, as key 'r' of {} says, got {}", file.path(),
           printable(stored), rank, hub.file, to_string(t.shape()));
    (part == "lora_A" ? u.a : is_lora ? u.b : u.l) = t;
    u.scale = scale;
  }
  if (updates.empty()) fail(Exit::kBadData, "[{}] expected adapted modules, got none", file.path());
  if (!is_lora && rank != 1) fail(Exit::kBadData, "[{}] key 'r': expected 1 in (IA)^3, got {}", hub.file, rank);
  if (!is_lora && scale != 1) fail(Exit::kBadData, "[{}] key 'alpha': expected r in (IA)^3, got {}", hub.file, alpha);
  for (const auto& [module, u] : updates) edits.fold(module, u);
  delta.strategy = &strategy("full");
  delta.method = is_lora ? "lora" : "ia3";
  delta.description =
      fmt::format("{} of {} modules in AdapterHub's layout", is_lora ? "LoRA" : "(IA)^3", updates.size());
}

// What a bottleneck computes beside its two layers. With a what the branch adds to the stream h:
//
//   series     h + a + s up(f(down(x))), x = a, or h + a for original_ln_before
//   parallel   h + a + s up(f(down(h)))
//
// The norms of those keys' names are none in a ViT, whose sums they take along. With some values h gets lost or counts
// twice: those are refused, as are norms and gates of the bottleneck's own.
BottleneckForm read_form(ConfigKeys& keys, const HubConfig& hub) {
  using Activation = BottleneckForm::Activation;
  using Input = BottleneckForm::Input;
  keys.ignore({"architecture", "reduction_factor", "init_weights", "init_weights_seed", "cross_adapter", "dropout",
               "stochastic_depth", "dtype", "phm_c_init", "phm_init_range", "learn_phm", "hypercomplex_nonlinearity",
               "inv_adapter_reduction_factor"});
  keys.expect("ln_before", false);
  keys.expect("ln_after", false);
  keys.expect("use_gating", false);
  keys.expect("adapter_residual_before_ln", false);
  keys.expect("inv_adapter", nullptr);
  BottleneckForm form;
  static const std::map<std::string, Activation> kActivations = {{"gelu", Activation::kGelu},
                                                                 {"relu", Activation::kRelu},
                                                                 {"silu", Activation::kSilu},
                                                                 {"swish", Activation::kSilu}};
  const auto f = keys.get<std::string>("non_linearity", "");
  const auto known = kActivations.find(f);
  if (known == kActivations.end())
    fail(Exit::kBadData, "[{}] key 'non_linearity': expected gelu, relu, silu or swish, got '{}'", hub.file,
         printable(f));
  form.activation = known->second;
  const bool before = keys.get<bool>("original_ln_before", false), after = keys.get<bool>("original_ln_after", true);
  if (keys.get<bool>("is_parallel", false)) {
    form.input = Input::kStream;
    keys.expect("original_ln_after", true);
    keys.ignore({"residual_before_ln"});
    return form;
  }
  form.input = before ? Input::kSum : Input::kBranch;
  const bool of_branch = keys.get<bool>("residual_before_ln", true);
  // The stream comes with the sum before the bottleneck, which its residual keeps, or after it.
  if (before && after && !of_branch) keys.expect("residual_before_ln", true);
  if (!after && (!before || of_branch)) keys.expect("original_ln_after", true);
  return form;
}

// `scaling`: a number, one that is learnt, or one for each feature; what comes up is multiplied by it.
enum class Scaling { kNumber, kLearned, kChannel };
Scaling read_scaling(ConfigKeys& keys, const HubConfig& hub, double& factor) {
  const auto it = hub.config.find("scaling");
  if (it != hub.config.end() && it->is_string()) {
    const auto kind = keys.get<std::string>("scaling", "");
    if (kind == "learned") return Scaling::kLearned;
    if (kind == "channel") return Scaling::kChannel;
    fail(Exit::kBadData, "[{}] key 'scaling': expected a number, learned or channel, got '{}'", hub.file,
         printable(kind));
  }
  factor = keys.get<double>("scaling", 1);
  return Scaling::kNumber;
}

// Folded into the upper layer: rows of a weight (out, in) and of a bias (out); of Compacter's one factor, and its bias.
Tensor scaled(const Tensor& t, const Tensor& s) {
  const NoGrad no_grad;
  Shape shape(static_cast<size_t>(t.ndim()), 1);
  if (s.numel() > 1) shape[0] = s.numel();
  return ops::mul(Var(t), Var(s.reshape(shape))).value();
}

// Compacter's layers as this project has them: rank-one factors of every W, one rule for all.
void check_phm(ConfigKeys& keys) {
  keys.expect("factorized_phm_W", true);
  keys.expect("shared_W_phm", false);
  keys.expect("shared_phm_rule", true);
  keys.expect("factorized_phm_rule", false);
  keys.expect("phm_bias", true);
}

// A tensor's name with another adapter's in it.
std::string with_name(std::string tensor, const std::string& ours, const std::string& name) {
  for (const std::string where : {"adapters.", "shared_parameters."})
    if (const size_t at = tensor.find(where + ours + "."); at != std::string::npos)
      return tensor.replace(at + where.size(), ours.size(), name);
  return tensor;
}

using Values = std::vector<std::pair<nn::NameEntry, Tensor>>;

// The bottlenecks' tensors, checked, and the strategy they belong to. A site that the configuration leaves out gets
// zeros, which add nothing.
Values read_bottlenecks(const HubConfig& hub, const WeightsFile& file, const Edits& edits, const nn::VitConfig& config,
                        ForeignDelta& delta) {
  ConfigKeys keys(hub.config, hub.file);
  const bool phm = keys.get<bool>("phm_layer", false);
  const BottleneckForm form = read_form(keys, hub);
  double factor = 1;
  const Scaling scaling = read_scaling(keys, hub, factor);
  if (phm) check_phm(keys);
  if (phm && scaling == Scaling::kChannel) keys.expect("scaling", 1.0);
  const bool attention = keys.get<bool>("mh_adapter", false), output = keys.get<bool>("output_adapter", false);
  const auto left_out = keys.get<std::vector<int64_t>>("leave_out", {});
  delta.options.phm_n = keys.get<int64_t>("phm_dim", 4);
  delta.options.phm_rank = keys.get<int64_t>("phm_rank", 1);
  for (const auto& [key, value] : {std::pair{"phm_dim", delta.options.phm_n}, {"phm_rank", delta.options.phm_rank}})
    if (value < 1 || value > 1024)
      fail(Exit::kBadData, "[{}] key '{}': expected a number from 1 to 1024, got {}", hub.file, key, value);
  if (!phm) keys.ignore({"factorized_phm_W", "shared_W_phm", "shared_phm_rule", "factorized_phm_rule", "phm_bias"});
  keys.finish();
  delta.method = phm ? "compacter" : "adapter";
  delta.strategy = phm ? &compacter(form) : &adapter(form);
  const std::string bias = phm ? ".adapter_down.0.b" : ".adapter_down.0.bias";
  for (const std::string& n : file.names())
    if (n.ends_with("adapters." + hub.name + bias) && !file.info(n).shape.empty())
      delta.options.bottleneck = file.info(n).shape[0];
  if (delta.options.bottleneck < 1)
    fail(Exit::kBadData, "[{}] expected bottlenecks called '{}', got none", file.path(), printable(hub.name));

  if (phm && (config.dim % delta.options.phm_n != 0 || delta.options.bottleneck % delta.options.phm_n != 0))
    fail(Exit::kBadData, "[{}] key 'phm_dim': expected a divisor of the width {} and of the bottleneck {}, got {}",
         hub.file, config.dim, delta.options.bottleneck, delta.options.phm_n);

  const std::string ours = delta.strategy->name();
  std::set<std::string> used;
  Values values;
  int64_t sites = 0;
  for (const nn::NameEntry& e : delta.strategy->added_names(config, delta.options)) {
    const std::string stored = with_name(e.external, ours, hub.name);
    // What a tensor is, its name says with ours in it: the file's may hold anything.
    static const std::regex kLayer("layer\\.([0-9]+)\\.");
    std::smatch match;
    const bool in_layer = std::regex_search(e.external, match, kLayer);
    const bool is_attention = e.external.find("attention_adapters.") != std::string::npos;
    const bool absent =
        in_layer && ((is_attention ? !attention : !output) ||
                     std::find(left_out.begin(), left_out.end(), std::stoll(match[1])) != left_out.end());
    if (absent) {
      values.emplace_back(e, Tensor());
      continue;
    }
    Tensor t = edits.read(file, stored);
    const auto check_shape = [&](const std::string& name, const Tensor& tensor, const Shape& shape) {
      if (tensor.shape() != shape)
        fail(Exit::kBadData, "[{}] tensor '{}': expected {}, got {}", file.path(), printable(name), to_string(shape),
             to_string(tensor.shape()));
    };
    check_shape(stored, t, e.shape);
    const size_t up = e.external.find("adapter_up.");
    if (up != std::string::npos && !stored.ends_with("W_right")) {
      Tensor s = Tensor::full({1}, factor, t.dtype());
      if (scaling != Scaling::kNumber) {
        const std::string name = with_name(e.external.substr(0, up) + "scaling", ours, hub.name);
        s = edits.read(file, name);
        check_shape(name, s, {scaling == Scaling::kChannel ? config.dim : 1});
        used.insert(name);
      }
      if (scaling != Scaling::kNumber || factor != 1) t = scaled(t, s);
    }
    sites += stored.ends_with(bias) ? 1 : 0;
    used.insert(stored);
    values.emplace_back(e, t);
  }
  for (const std::string& n : file.names())
    if (!used.contains(n)) fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", file.path(), printable(n));
  delta.description = fmt::format("{} of size {} at {} places in AdapterHub's layout", phm ? "Compacter" : "adapters",
                                  delta.options.bottleneck, sites);
  return values;
}

void load_head(const std::string& folder, Edits& edits) {
  const HubConfig hub = hub_config(folder + "/head_config.json");
  ConfigKeys keys(hub.config, hub.file);
  keys.ignore({"num_labels", "label2id", "activation_function", "dropout_prob", "multilabel"});
  keys.expect("head_type", "image_classification");
  keys.expect("layers", 1);
  keys.expect("use_pooler", false);
  keys.expect("bias", true);
  keys.finish();
  const WeightsFile file = WeightsFile::open(file_in(folder, {"model_head.safetensors", "pytorch_model_head.bin"}));
  const std::string prefix = "heads." + hub.name + ".1.";
  for (const char* part : {"weight", "bias"})
    edits.set(std::string("classifier.") + part, edits.read(file, prefix + part));
  for (const std::string& n : file.names())
    if (n != prefix + "weight" && n != prefix + "bias")
      fail(Exit::kBadData, "[{}] tensor '{}' is unexpected", file.path(), printable(n));
}

// What the library writes beside the method's own keys.
Json hub_json(const OwnDelta& delta, const std::string& name, const Json& config) {
  return {{"config", config},      {"hidden_size", delta.width}, {"model_class", "ViTAdapterModel"},
          {"model_name", nullptr}, {"model_type", "vit"},        {"name", name},
          {"version", kVersion}};
}

Json method_config(const OwnDelta& delta) {
  if (delta.strategy == "lora" || delta.strategy == "ia3") {
    const bool is_lora = delta.strategy == "lora";
    Json matrices = is_lora ? Json{"q", "k", "v"} : Json{"k", "v"};
    return {{"architecture", "lora"},
            {"alpha", is_lora ? Json(delta.alpha) : Json(1)},
            {"attn_matrices", matrices},
            {"composition_mode", is_lora ? "add" : "scale"},
            {"dropout", 0.0},
            {"init_weights", is_lora ? "lora" : "ia3"},
            {"intermediate_lora", true},
            {"leave_out", Json::array()},
            {"output_lora", true},
            {"r", is_lora ? delta.rank : 1},
            {"selfattn_lora", true},
            {"use_gating", false}};
  }
  const bool phm = delta.strategy == "compacter";
  int64_t size = 0;
  for (const auto& [name, t] : delta.tensors) {
    if (!name.ends_with(phm ? "adapter_down.0.b" : "adapter_down.0.bias")) continue;
    if (t.ndim() != 1 || t.size(0) < 1)
      fail(Exit::kBadData, "[{}] tensor '{}': expected a bias of (bottleneck), got {}", delta.file, printable(name),
           to_string(t.shape()));
    size = t.size(0);
  }
  if (size < 1) fail(Exit::kBadData, "[{}] expected bottlenecks, got none", delta.file);
  Json config = {{"adapter_residual_before_ln", false},
                 {"cross_adapter", false},
                 {"dropout", 0.0},
                 {"init_weights", "bert"},
                 {"inv_adapter", nullptr},
                 {"inv_adapter_reduction_factor", nullptr},
                 {"is_parallel", false},
                 {"learn_phm", true},
                 {"leave_out", Json::array()},
                 {"ln_after", false},
                 {"ln_before", false},
                 {"mh_adapter", true},
                 {"non_linearity", "gelu"},
                 {"original_ln_after", true},
                 {"original_ln_before", false},
                 {"output_adapter", true},
                 {"phm_layer", phm},
                 {"reduction_factor", static_cast<double>(delta.width) / static_cast<double>(size)},
                 {"residual_before_ln", true},
                 {"scaling", 1.0},
                 {"stochastic_depth", 0.0},
                 {"use_gating", false}};
  if (phm)
    config.update({{"factorized_phm_W", true},
                   {"factorized_phm_rule", false},
                   {"hypercomplex_nonlinearity", "glorot-uniform"},
                   {"phm_bias", true},
                   {"phm_c_init", "normal"},
                   {"phm_dim", delta.phm_n},
                   {"phm_init_range", 0.0001},
                   {"phm_rank", delta.phm_rank},
                   {"shared_W_phm", false},
                   {"shared_phm_rule", true}});
  return config;
}

}  // namespace

ForeignDelta load_adapterhub(const std::string& folder, nn::Vit& vit) {
  const std::string adapter = folder_with(folder, "adapter_config.json"),
                    head = folder_with(folder, "head_config.json");
  if (adapter.empty() && head.empty())
    fail(Exit::kMissing, "[{}] expected adapter_config.json or head_config.json in this folder", folder);
  Edits edits(vit, adapter.empty() ? head : adapter);
  ForeignDelta delta;
  delta.strategy = &strategy("full");
  delta.method = "lp";
  delta.description = "a head in AdapterHub's layout";
  delta.has_head = !head.empty();
  Values values;
  if (!head.empty()) load_head(head, edits);
  if (!adapter.empty()) {
    const HubConfig hub = hub_config(adapter + "/adapter_config.json");
    const WeightsFile file = WeightsFile::open(file_in(adapter, {"adapter.safetensors", "pytorch_adapter.bin"}));
    const Json kind = hub.config.value("architecture", Json());
    if (kind == "lora")
      load_loras(hub, file, edits, delta);
    else if (kind.is_null())
      values = read_bottlenecks(hub, file, edits, vit.config(), delta);
    else
      fail(Exit::kBadData, "[{}] key 'architecture': expected lora or null (bottlenecks), got {}", hub.file,
           printable(kind.dump()));
  }
  edits.commit();
  if (values.empty()) return delta;
  delta.strategy->apply(vit, delta.options, 0);
  for (const auto& [e, t] : values) {
    Var parameter = vit.parameter(e.path);
    parameter.set_value(t.defined() ? t.reshape(parameter.shape()) : Tensor::zeros(parameter.shape(), vit.dtype()));
  }
  return delta;
}

void write_adapterhub(const OwnDelta& delta, const std::string& folder) {
  const std::string& s = delta.strategy;
  const bool has_adapter = s == "lora" || s == "ia3" || s == "adapter" || s == "compacter";
  TAUT_CHECK(has_adapter || s == "lp",
             "[{}] AdapterHub's layout has no place for the backbone's own parameters, which '{}' trains; hint: lora, "
             "ia3, adapter, compacter and lp can be written",
             delta.file, s);
  std::vector<std::pair<std::string, Tensor>> added, head;
  for (const auto& [name, t] : delta.tensors) (name.starts_with("heads.") ? head : added).emplace_back(name, t);
  if (has_adapter) {
    const Json config = method_config(delta);
    make_folder(folder + "/adapter");
    write_safetensors(folder + "/adapter/adapter.safetensors", added, {{"format", "pt"}});
    write_file_atomically(folder + "/adapter/adapter_config.json", hub_json(delta, s, config).dump(2));
  }
  make_folder(folder + "/head");
  write_safetensors(folder + "/head/model_head.safetensors", head, {{"format", "pt"}});
  write_file_atomically(folder + "/head/head_config.json", hub_json(delta, "default",
                                                                    {{"activation_function", "tanh"},
                                                                     {"bias", true},
                                                                     {"head_type", "image_classification"},
                                                                     {"layers", 1},
                                                                     {"multilabel", false},
                                                                     {"num_labels", delta.classes},
                                                                     {"use_pooler", false}})
                                                               .dump(2));
}

}  // namespace taut::finetune
