#include "study/run/state.h"

#include "kernels/error.h"

namespace taut::study {
namespace {

constexpr int kFormat = 1;  // of state.json and what is beside it

// What training changes: parameters that train, and running statistics.
std::vector<nn::NamedParameter> changing(const nn::Model& net) {
  std::vector<nn::NamedParameter> list;
  for (nn::NamedParameter& p : net.parameters())
    if (p.var.requires_grad()) list.push_back(std::move(p));
  for (nn::NamedBuffer& b : net.buffers()) list.push_back(std::move(b));
  return list;
}

void put(const std::map<std::string, Tensor>& tensors, const std::string& file, const nn::Model& net) {
  for (nn::NamedParameter& p : changing(net)) {
    const auto it = tensors.find(p.path);
    if (it == tensors.end() || it->second.shape() != p.var.shape() || it->second.dtype() != p.var.dtype())
      fail(Exit::kBadData, "[{}] expected a tensor '{}' {}", file, p.path, to_string(p.var.shape()));
    p.var.set_value(it->second.clone().to(p.var.value().device()));
  }
}

}  // namespace

NamedTensors changing_tensors(const nn::Model& net) {
  NamedTensors tensors;
  for (const nn::NamedParameter& p : changing(net)) tensors.emplace_back(p.path, p.var.value());
  return tensors;
}

int64_t checkpoint_bytes(const RunModel& model) {
  int64_t bytes = 0;
  for (const auto& [path, tensor] : changing_tensors(*model.net)) bytes += tensor.numel() * size_of(tensor.dtype());
  return bytes + 2 * model.net->trainable_parameter_count() * static_cast<int64_t>(sizeof(float));  // AdamW's moments
}

void save_state(const std::string& run_folder, const RunState& state, const Config& config, int64_t metrics_bytes,
                const RunModel& model, const finetune::Trainer& trainer) {
  const Json json = {{"format", kFormat},
                     {"step", state.step},
                     {"optimizer_steps", trainer.steps()},
                     {"metrics_bytes", metrics_bytes},
                     {"config_sha256", config.hash()},
                     {"forced_resume", state.forced},
                     {"base_sha256", model.base_hash},
                     {"best_step", state.best_step},
                     {"best_correct", state.best_correct},
                     {"evaluations", state.evaluations}};
  std::map<std::string, NamedTensors> files = {{"model", changing_tensors(*model.net)}, {"optim", trainer.state()}};
  if (!state.best.empty()) files["best"] = NamedTensors(state.best.begin(), state.best.end());
  write_checkpoint(run_folder, state.step, json, files);
}

RunState load_state(const Checkpoint& checkpoint, const Config& config, const RunModel& model,
                    finetune::Trainer& trainer) {
  const std::string file = checkpoint.folder + "/state.json";
  RunState state;
  try {
    const Json& json = checkpoint.state;
    if (json.at("format") != kFormat)
      fail(Exit::kUsage, "[{}] expected format {}, got {}: another version of taut wrote it; hint: go on with that one",
           file, kFormat, json.at("format").dump());
    if (json.at("base_sha256") != model.base_hash)
      fail(Exit::kBadData, "[{}] belongs to another base model; hint: model.weights changed since", file);
    state.step = json.at("step");
    state.forced = json.at("forced_resume").get<bool>() || json.at("config_sha256") != config.hash();
    state.best_step = json.at("best_step");
    state.best_correct = json.at("best_correct");
    state.evaluations = json.at("evaluations");
    put(checkpoint.tensors.at("model"), checkpoint.folder + "/model.safetensors", *model.net);
    trainer.load_state(checkpoint.tensors.at("optim"), json.at("optimizer_steps"),
                       checkpoint.folder + "/optim.safetensors");
    if (checkpoint.tensors.contains("best")) state.best = checkpoint.tensors.at("best");
  } catch (const nlohmann::json::exception& error) {
    fail(Exit::kBadData, "[{}] {}", file, error.what());
  } catch (const std::out_of_range&) {
    fail(Exit::kBadData, "[{}] expected model.safetensors and optim.safetensors", checkpoint.folder);
  }
  return state;
}

void save_point(const std::string& folder, int64_t step, const Config& config, const RunModel& model) {
  if (has_checkpoint(folder, step)) return;
  write_checkpoint(folder, step, {{"format", 1}, {"config_sha256", config.hash()}, {"base_sha256", model.base_hash}},
                   {{"model", changing_tensors(*model.net)}});
}

void load_point(const std::string& folder, int64_t step, const Config& config, const RunModel& model) {
  const Checkpoint point = read_checkpoint(folder, step);
  if (point.state.value("config_sha256", "") != config.hash() ||
      point.state.value("base_sha256", "") != model.base_hash || !point.tensors.contains("model"))
    fail(Exit::kBadData, "[{}] is of other settings or of another base model", point.folder);
  put(point.tensors.at("model"), point.folder + "/model.safetensors", *model.net);
}

void restore_best(const RunState& state, const RunModel& model) {
  if (state.best.empty()) return;
  const bool adds_layers = model.strategy->adds_layers();
  for (nn::NamedParameter& p : changing(*model.net)) {
    const auto it = state.best.find(p.path);
    if (it == state.best.end() || (adds_layers && model.net->is_head(p.path))) continue;
    p.var.set_value(it->second.clone().to(p.var.value().device()));
  }
}

}  // namespace taut::study
