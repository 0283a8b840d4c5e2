#include "finetune/foreign.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "autograd/ops.h"
#include "finetune/layouts.h"
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
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxConfigDepth)
      fail(Exit::kBadData, "[{}] expected at most {} nested values, got more", path, kMaxConfigDepth);
    return true;
  };
  Json config = Json::parse(text.str(), shallow, false);
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
       file_, key, expected, config_.at(key).dump().substr(0, kMaxShownBytes));
}

void ConfigKeys::finish() const {
  for (const auto& [key, value] : config_.items())
    if (std::find(known_.begin(), known_.end(), key) == known_.end() && !is_inactive(value))
      wrong(key, "no such key, or null");
}

Edits::Edits(nn::Vit& vit, std::string file) : vit_(vit), file_(std::move(file)) {
  nn::VitConfig config = vit.config();
  for (const nn::NameStyle style : {nn::NameStyle::kTimm, nn::NameStyle::kHf}) {
    for (const nn::NameEntry& e : nn::name_map(config, style)) {
      entries_[e.external] = e;
      if (e.external.starts_with("vit.")) entries_[e.external.substr(4)] = e;
    }
  }
}

Tensor Edits::read(const TensorFile& file, const std::string& stored) const {
  const Tensor t = file.read(stored);
  if (!is_floating(t.dtype()))
    fail(Exit::kBadData, "[{}] tensor '{}': expected floating numbers, got {}", file.path(), stored, name(t.dtype()));
  return t.to(vit_.dtype());
}

const nn::NameEntry* Edits::find(const std::string& name) const {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

const nn::NameEntry& Edits::entry(const std::string& name) const {
  const nn::NameEntry* e = find(name);
  if (e == nullptr) fail(Exit::kBadData, "[{}] the model has no parameter '{}'", file_, name);
  return *e;
}

Tensor Edits::rows(const nn::NameEntry& e) {
  const auto [it, is_new] = copies_.try_emplace(e.path);
  if (is_new) it->second = vit_.parameter(e.path).value().clone();
  return e.rows > 0 ? it->second.slice(0, e.row, e.rows) : it->second;
}

void Edits::set(const std::string& name, const Tensor& value) {
  const nn::NameEntry& e = entry(name);
  if (value.shape() != e.shape)
    fail(Exit::kBadData, "[{}] tensor '{}': expected {}, got {}{}", file_, name, to_string(e.shape),
         to_string(value.shape()),
         e.path.starts_with("head.") ? fmt::format("; hint: model.classes={}", value.ndim() > 0 ? value.size(0) : 0)
                                     : "");
  rows(e).copy_from(value);
}

void Edits::fold(const std::string& module, const Update& u) {
  const NoGrad no_grad;
  Tensor to = rows(entry(module + ".weight"));
  const auto refuse = [&](const char* what, const Tensor& t, const std::string& expected) {
    fail(Exit::kBadData, "[{}] {} of '{}': expected {}, got {}", file_, what, module, expected,
         t.defined() ? to_string(t.shape()) : "nothing");
  };
  if (to.ndim() != 2)
    fail(Exit::kBadData, "[{}] '{}' is no linear layer, and only those can be adapted here", file_, module);
  const int64_t out = to.size(0), in = to.size(1);
  Tensor w = to.clone();
  const nn::NameEntry& bias_entry = entry(module + ".bias");
  if (u.l.defined()) {
    const bool of_output = u.l.shape() == Shape{out, 1};
    if (!of_output && u.l.shape() != Shape{1, in})
      refuse("the (IA)^3 vector", u.l, fmt::format("({}, 1) or (1, {})", out, in));
    w = ops::mul(Var(w), Var(u.l)).value();
    if (of_output) {
      Tensor bias = rows(bias_entry);
      bias.copy_from(ops::mul(Var(bias.clone()), Var(u.l.reshape({out}))).value());
    }
    to.copy_from(w);
    return;
  }
  if (!u.a.defined() || u.a.ndim() != 2 || u.a.size(1) != in) refuse("lora_A", u.a, fmt::format("(r, {})", in));
  const int64_t rank = u.a.size(0);
  if (!u.b.defined() || u.b.shape() != Shape{out, rank}) refuse("lora_B", u.b, fmt::format("({}, {})", out, rank));
  if (rank < 1) refuse("lora_A", u.a, "a rank >= 1");
  w = ops::add(Var(w), ops::scale(ops::matmul(Var(u.b), Var(u.a)), u.scale)).value().contiguous();
  if (u.magnitude.defined()) {  // DoRA: rows of the sum get the lengths that were learnt
    if (u.magnitude.numel() != out) refuse("lora_magnitude_vector", u.magnitude, fmt::format("({})", out));
    const std::vector<double> m = u.magnitude.to_doubles(), values = w.to_doubles();
    std::vector<double> factors;
    for (int64_t r = 0; r < out; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i)
        sum += values[static_cast<size_t>(r * in + i)] * values[static_cast<size_t>(r * in + i)];
      factors.push_back(m[static_cast<size_t>(r)] / std::sqrt(sum));
    }
    scale_rows(w, factors);
  }
  to.copy_from(w);
  if (u.b_bias.defined()) {
    if (u.b_bias.shape() != Shape{out}) refuse("lora_B.bias", u.b_bias, fmt::format("({})", out));
    Tensor bias = rows(bias_entry);
    bias.copy_from(ops::add(Var(bias.clone()), ops::scale(Var(u.b_bias), u.scale)).value());
  }
}

void Edits::commit() {
  for (const auto& [path, tensor] : copies_) vit_.parameter(path).set_value(tensor);
}

bool is_foreign_delta(const std::string& path) { return std::filesystem::is_directory(path); }

ForeignDelta load_foreign_delta(const std::string& folder, nn::Vit& vit) {
  const std::string config = folder + "/adapter_config.json";
  if (std::filesystem::is_regular_file(config))
    if (const Json json = read_config(config); is_peft_config(json)) return load_peft(folder, json, vit);
  return load_adapterhub(folder, vit);
}

void write_foreign_delta(const std::string& path, const std::string& folder, Layout layout) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto meta = [&](const char* key) {
    const auto it = file.metadata().find(key);
    return it == file.metadata().end() ? std::string() : it->second;
  };
  if (!meta("format").starts_with("taut-delta-"))
    fail(Exit::kBadData, "[{}] expected a delta that a run wrote (delta.safetensors)", path);
  const std::string options = meta("options");
  OwnDelta delta{path, meta("strategy"), 0, 0, 0, 0, 0, 0, {}};
  try {
    delta.rank = std::stoll(option(options, "rank"));
    delta.alpha = std::stod(option(options, "alpha"));
    delta.phm_n = std::stoll(option(options, "phm_n"));
    delta.phm_rank = std::stoll(option(options, "phm_rank"));
  } catch (const std::exception&) {
    fail(Exit::kBadData, "[{}] expected numbers in the delta's options, got '{}'", path, options);
  }
  for (const std::string& name : file.names()) delta.tensors[name] = file.read(name);
  const auto head = delta.tensors.find("heads.default.1.weight");
  if (head == delta.tensors.end() || head->second.ndim() != 2)
    fail(Exit::kBadData, "[{}] expected the delta of a ViT, with a head 'heads.default.1'", path);
  delta.classes = head->second.size(0);
  delta.width = head->second.size(1);
  if (layout == Layout::kPeft)
    write_peft(delta, folder);
  else
    write_adapterhub(delta, folder);
}

}  // namespace taut::finetune
