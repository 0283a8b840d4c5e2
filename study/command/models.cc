// taut models show, taut models ls.
#include "nn/models.h"
#include "study/command/command.h"
#include "study/run/model.h"

namespace taut::study {
namespace {

// First the whole, then a row for each tensor that trains.
std::vector<Row> show(const Config& config) {
  const RunModel model = counted_model(config);
  const int64_t trainable = model.vit->trainable_parameter_count(), total = model.vit->parameter_count();
  std::vector<Row> rows = {{{"model", config.text("model.name")},
                            {"strategy", model.strategy->name()},
                            {"classes", model.vit->config().classes},
                            {"trainable", trainable},
                            {"total", total},
                            {"trainable_percent", 100.0 * static_cast<double>(trainable) / static_cast<double>(total)},
                            {"forward_gflop", model.vit->config().forward_flops() * 1e-9}}};
  for (const nn::NamedParameter& p : model.vit->parameters())
    if (p.var.requires_grad())
      rows.push_back({{"parameter", p.path}, {"shape", to_string(p.var.shape())}, {"elements", p.var.value().numel()}});
  return rows;
}

}  // namespace

std::vector<Row> model_rows() {
  std::vector<Row> rows;
  for (const std::string& name : nn::model_names()) {
    const nn::VitConfig c = nn::model_config(name);
    rows.push_back({{"model", name},
                    {"image_size", c.image_size},
                    {"patch", c.patch},
                    {"width", c.dim},
                    {"blocks", c.depth},
                    {"heads", c.heads},
                    {"classes", c.classes},
                    {"forward_gflop", c.forward_flops() * 1e-9}});
  }
  return rows;
}

void add_models_commands(CLI::App& app, const ExitCode&) {
  CLI::App* models = app.add_subcommand("models", "what models there are, and what a strategy trains of one");
  models->require_subcommand(1);
  CLI::App* one = models->add_subcommand("show", "parameters of a model under a strategy");
  const CommonPtr common = add_common(*one);
  const auto name = std::make_shared<std::string>();
  one->add_option("name", *name, "the model")->required();
  add_settings(*one, common);
  one->callback([common, name] {
    begin(*common);
    Config config = settings_of(*common);
    config.set("model.name", *name, Source::kCommandLine);
    print_rows(show(config), format_by_name(common->format));
  });
  CLI::App* all = models->add_subcommand("ls", "all models");
  const CommonPtr all_common = add_common(*all);
  all->callback([all_common] {
    begin(*all_common);
    print_rows(model_rows(), format_by_name(all_common->format));
  });
}

}  // namespace taut::study
