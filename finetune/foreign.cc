#include "finetune/foreign.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "autograd/ops.h"
#include "finetune/layouts.h"
#include "nn/file_names.h"
#include "tensor/safetensors.h"

namespace taut::finetune {
namespace {

constexpr uintmax_t kMaxConfigBytes = 1 << 20;
constexpr int kMaxConfigDepth = 16;
constexpr size_t kMaxShownBytes = 200;  // of a value in a message

bool is_inactive(const Json& value) {
  return value.is_null() || value == false || value == 0 || value == "" || (value.is_structured() && value.empty());
}

// A number of the options' text that a delta's metadata holds: "... rank 8 alpha 16 ...".
std::string option(const std::string& options, const std::string& name) {
  std::istringstream words(options);
  for (std::string word; words >> word;)
    if (word == name && words >> word) return word;
  return "0";
}

// Multiplies row r of (rows, n) by factors[r].
void scale_rows(Tensor& t, const std::vector<double>& factors) {
  on_float(t.dtype(), "delta", [&]<class T>() {
    const std::span<T> values = t.span<T>();
    const size_t n = values.size() / factors.size();
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<T>(static_cast<double>(values[i]) * factors[i / n]);
  });
}

}  // namespace

Json read_config(const std::string& path) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) fail(Exit::kMissing, "[{}] there is no such file", path);
  if (bytes > kMaxConfigBytes)
    fail(Exit::kBadData, "[{}] expected a configuration of at most 1 MiB, got {} bytes", path, bytes);
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  // The keys of the objects that are open, so that none is read twice.
  std::vector<std::set<std::string>> keys;
  const auto checked = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxConfigDepth)
      fail(Exit::kBadData, "[{}] expected at most {} nested values, got more", path, kMaxConfigDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      fail(Exit::kBadData, "[{}] key '{}' appears twice", path, printable(value.get<std::string>()));
    return true;
  };
  Json config = Json::parse(text.str(), checked, false);
  if (!config.is_object()) fail(Exit::kBadData, "[{}] expected a JSON object", path);
  return config;
}

std::string file_in(const std::string& folder, const std::vector<const char*>& names) {
  for (const char* name : names)
    if (std::filesystem::is_regular_file(folder + "/" + name)) return folder + "/" + name;
  fail(Exit::kMissing, "[{}] expected {} in this folder", folder, fmt::join(names, " or "));
}

void make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(Exit::kIo, "[{}] cannot be made: {}", folder, error.message());
}

void ConfigKeys::ignore(const std::vector<const char*>& keys) { known_.insert(known_.end(), keys.begin(), keys.end()); }

void ConfigKeys::expect(const char* key, const Json& value) {
  known_.emplace_back(key);
  const auto it = config_.find(key);
  if (it != config_.end() && *it != value) wrong(key, value.dump());
}

void ConfigKeys::wrong(const std::string& key, const std::string& expected) const {
  fail(Exit::kBadData, "[{}] key '{}': expected {}, got {}; hint: this changes the function in a way that is not built",
       file_, printable(key), expected, printable(config_.at(key).dump(), kMaxShownBytes));
}

void ConfigKeys::finish() const {
  for (const auto& [key, value] : config_.items())
    if (std::find(known_.begin(), known_.end(), key) == known_.end() && !is_inactive(value))
      wrong(key, "no such key, or null");
}

Edits::Edits(nn::Model& model, std::string file) : model_(model), file_(std::move(file)) {
  const auto add = [&](const std::vector<nn::NameEntry>& map, nn::NameStyle style) {
    for (const nn::NameEntry& e : map) {
      for (std::string& name : nn::spellings(e.external, style))
        index_.insert_or_assign(std::move(name), entries_.size());
      entries_.push_back(e);
    }
  };
  if (const auto* vit = dynamic_cast<const nn::VitConfig*>(&model.config())) {
    for (const nn::NameStyle style : {nn::NameStyle::kTimm, nn::NameStyle::kHf}) add(nn::name_map(*vit, style), style);
  } else {
    add(nn::name_map(model), nn::NameStyle::kTorchvision);
  }
}

Tensor Edits::read(const TensorFile& file, const std::string& stored) const {
  const Tensor t = file.read(stored);
  if (!is_floating(t.dtype()))
    fail(Exit::kBadData, "[{}] tensor '{}': expected floating numbers, got {}", file.path(), printable(stored),
         name(t.dtype()));
  return t.to(model_.dtype());
}

const nn::NameEntry* Edits::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

const nn::NameEntry& Edits::expect(const std::string& name) const {
  const nn::NameEntry* e = find(name);
  if (e == nullptr) fail(Exit::kBadData, "[{}] the model has no parameter '{}'", file_, printable(name));
  return *e;
}

Tensor Edits::rows(const nn::NameEntry& e) {
  const auto [it, is_new] = copies_.try_emplace(e.path);
  if (is_new) it->second = model_.parameter(e.path).value().clone();
  return e.rows > 0 ? it->second.slice(0, e.row, e.rows) : it->second;
}

void Edits::set(const std::string& name, const Tensor& value) {
  const nn::NameEntry& e = expect(name);
  if (value.shape() != e.shape)
    fail(Exit::kBadData, "[{}] tensor '{}': expected {}, got {}{}", file_, name, to_string(e.shape),
         to_string(value.shape()),
         model_.is_head(e.path) ? fmt::format("; hint: model.classes={}", value.ndim() > 0 ? value.size(0) : 0) : "");
  nn::check_variance(e.path, value, file_, name);
  Tensor to = rows(e);
  to.copy_from(nn::rows_of_file(e, value, to.shape()));
}

void Edits::fold(const std::string& module, const Update& u) {
  const NoGrad no_grad;
  const nn::NameEntry &weight = expect(module + ".weight"), *bias_entry = find(module + ".bias");
  const auto refuse = [&](const char* what, const Tensor& t, const std::string& expected) {
    fail(Exit::kBadData, "[{}] {} of '{}': expected {}, got {}", file_, what, printable(module), expected,
         t.defined() ? to_string(t.shape()) : "nothing");
  };
  const size_t dims = weight.shape.size();
  if (dims != 2 && dims != 4)
    fail(Exit::kBadData, "[{}] '{}' is no linear layer and no convolution, and only those can be adapted here", file_,
         printable(module));
  // A convolution is a linear layer of its input's patches: (out, in, k k); a linear layer is one of k = 1.
  const int64_t out = weight.shape[0], in = weight.shape[1];
  Tensor to = rows(weight);
  Var w(to.clone().reshape({out, in, -1}));
  const auto store = [&](const Var& folded) { to.copy_from(folded.value().contiguous().reshape(to.shape())); };
  const auto edit_bias = [&](const auto& edit) {
    Tensor bias = rows(*bias_entry);
    bias.copy_from(edit(Var(bias.clone())).value());
  };
  if (u.l.defined()) {
    const Shape of_output = dims == 2 ? Shape{out, 1} : Shape{1, out, 1, 1},
                of_input = dims == 2 ? Shape{1, in} : Shape{1, in, 1, 1};
    const bool scales_input = dims == 2 ? u.l.shape() != of_output : u.of_input;
    if (u.l.shape() != (scales_input ? of_input : of_output))
      refuse("the (IA)^3 vector", u.l,
             dims == 2 ? fmt::format("{} or {}", to_string(of_output), to_string(of_input))
                       : to_string(scales_input ? of_input : of_output));
    store(ops::mul(w, Var(u.l.reshape(scales_input ? Shape{1, in, 1} : Shape{out, 1, 1}))));
    if (!scales_input && bias_entry != nullptr)
      edit_bias([&](const Var& bias) { return ops::mul(bias, Var(u.l.reshape({out}))); });
    return;
  }
  Shape a_shape = weight.shape, b_shape(dims, 1);
  if (u.a.defined() && u.a.ndim() > 0) a_shape[0] = u.a.size(0);
  b_shape[0] = out;
  b_shape[1] = a_shape[0];
  if (!u.a.defined() || u.a.shape() != a_shape || a_shape[0] < 1)
    refuse("lora_A", u.a, "(rank >= 1, ...) and then as " + to_string(weight.shape));
  if (!u.b.defined() || u.b.shape() != b_shape) refuse("lora_B", u.b, to_string(b_shape));
  const Var delta = ops::matmul(Var(u.b.reshape({out, -1})), Var(u.a.reshape({a_shape[0], -1})));
  Tensor sum = ops::add(ops::reshape(w, {out, -1}), ops::scale(delta, u.scale)).value().contiguous();
  if (u.magnitude.defined()) {  // DoRA: rows of the sum get the lengths that were learnt
    if (u.magnitude.numel() != out) refuse("lora_magnitude_vector", u.magnitude, fmt::format("({})", out));
    const std::vector<double> m = u.magnitude.to_doubles(), values = sum.to_doubles();
    const size_t length = values.size() / m.size();
    std::vector<double> factors;
    for (size_t r = 0; r < m.size(); ++r) {
      double squares = 0;
      for (size_t i = r * length; i < (r + 1) * length; ++i) squares += values[i] * values[i];
      factors.push_back(m[r] / std::sqrt(squares));
    }
    scale_rows(sum, factors);
  }
  store(Var(sum));
  if (u.b_bias.defined()) {
    if (bias_entry == nullptr) refuse("lora_B.bias", u.b_bias, "none, since the layer has no bias to fold it into");
    if (u.b_bias.shape() != Shape{out}) refuse("lora_B.bias", u.b_bias, fmt::format("({})", out));
    edit_bias([&](const Var& bias) { return ops::add(bias, ops::scale(Var(u.b_bias), u.scale)); });
  }
}

void Edits::commit() {
  for (const auto& [path, tensor] : copies_) model_.parameter(path).set_value(tensor);
}

bool is_foreign_delta(const std::string& path) { return std::filesystem::is_directory(path); }

bool is_own_delta(const std::string& path) {
  try {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const auto format = file.metadata().find("format");
    return format != file.metadata().end() && format->second.starts_with("taut-delta-");
  } catch (const Error&) {
    return false;  // another format, or what its reader will complain about
  }
}

ForeignDelta load_foreign_delta(const std::string& folder, nn::Model& model) {
  const std::string config = folder + "/adapter_config.json";
  if (std::filesystem::is_regular_file(config))
    if (const Json json = read_config(config); is_peft_config(json)) return load_peft(folder, json, model);
  auto* vit = dynamic_cast<nn::Vit*>(&model);
  if (vit == nullptr)
    fail(Exit::kBadData,
         "[{}] expected an adapter_config.json of peft (with a peft_type) for a convolutional net; AdapterHub's "
         "library has transformers only",
         folder);
  return load_adapterhub(folder, *vit);
}

void write_foreign_delta(const std::string& path, const std::string& folder, Layout layout) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto meta = [&](const char* key) {
    const auto it = file.metadata().find(key);
    return it == file.metadata().end() ? std::string() : it->second;
  };
  if (!meta("format").starts_with("taut-delta-"))
    fail(Exit::kBadData, "[{}] expected a delta that a run wrote (delta.safetensors)", path);
  const std::vector<std::string> strategies = strategy_names();
  if (std::find(strategies.begin(), strategies.end(), meta("strategy")) == strategies.end())
    fail(Exit::kBadData, "[{}] delta's strategy: expected {}, got '{}'", path, fmt::join(strategies, ", "),
         printable(meta("strategy")));
  const std::string options = meta("options");
  OwnDelta delta{path, meta("strategy"), meta("model").starts_with("vit "), 0, 0, 0, 0, 0, 0, {}};
  TAUT_CHECK(delta.is_vit || layout != Layout::kAdapterHub,
             "[{}] AdapterHub's library has transformers only, and this delta is a convolutional net's; hint: peft has "
             "lora and ia3 of convolutions",
             path);
  try {
    delta.rank = std::stoll(option(options, "rank"));
    delta.alpha = std::stod(option(options, "alpha"));
    delta.phm_n = std::stoll(option(options, "phm_n"));
    delta.phm_rank = std::stoll(option(options, "phm_rank"));
  } catch (const std::exception&) {
    fail(Exit::kBadData, "[{}] expected numbers in the delta's options, got '{}'", path, printable(options));
  }
  if (delta.rank < 1 || !std::isfinite(delta.alpha))
    fail(Exit::kBadData, "[{}] expected a rank >= 1 and a finite alpha in the delta's options, got '{}'", path,
         printable(options));
  for (const std::string& name : file.names()) delta.tensors[name] = file.read(name);
  if (delta.is_vit) {
    const auto head = delta.tensors.find("heads.default.1.weight");
    if (head == delta.tensors.end() || head->second.ndim() != 2)
      fail(Exit::kBadData, "[{}] expected the delta of a ViT, with a head 'heads.default.1'", path);
    delta.classes = head->second.size(0);
    delta.width = head->second.size(1);
  }
  if (layout == Layout::kAdapterHub)
    write_adapterhub(delta, folder);
  else
    write_peft(delta, folder, layout == Layout::kPeftV5);
}

}  // namespace taut::finetune
