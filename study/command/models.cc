// taut models show, taut models ls.
#include "nn/models.h"
#include "kernels/error.h"
#include "study/command/command.h"
#include "study/command/model_tree.h"
#include "study/run/model.h"

namespace taut::study {
namespace {

double percent(int64_t part, int64_t whole) { return 100.0 * static_cast<double>(part) / static_cast<double>(whole); }

Row head_row(const Config& config, const RunModel& model) {
  const int64_t trainable = model.net->trainable_parameter_count(), total = model.net->parameter_count();
  return {{"model", config.text("model.name")},
          {"family", model.net->config().family()},
          {"strategy", model.strategy->name()},
          {"classes", model.net->config().classes},
          {"trainable", trainable},
          {"total", total},
          {"trainable_percent", percent(trainable, total)},
          {"forward_gflop", model.net->config().forward_flops() * 1e-9}};
}

// What each strategy would train of the model, or why it cannot.
std::vector<Row> strategy_rows(const Config& config) {
  std::vector<Row> rows;
  for (const std::string& name : finetune::strategy_names()) {
    Config other = config;
    other.set("model.strategy", name, Source::kCommandLine);
    Row row = {{"under", name}};
    try {
      const RunModel model = counted_model(other);
      const int64_t trainable = model.net->trainable_parameter_count(), total = model.net->parameter_count();
      row["trainable"] = trainable;
      row["total"] = total;
      row["trainable_percent"] = percent(trainable, total);
      row["trains"] = model.strategy->description();
    } catch (const Error& e) {
      row["trains"] = e.what();
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void show(const Config& config, Format format) {
  std::vector<std::vector<Row>> tables;
  {
    const RunModel model = counted_model(config);
    const std::vector<ModelLayer> layers = layers_of(*model.net);
    // A tree for eyes; programs get flat rows with whole paths.
    tables = {{head_row(config, model)},
              format == Format::kMarkdown ? tree_rows(config.text("model.name"), layers) : layer_rows(layers)};
  }
  tables.push_back(strategy_rows(config));
  if (format == Format::kMarkdown) {
    std::string text;
    for (const std::vector<Row>& table : tables) text += (text.empty() ? "" : "\n") + to_text(table, format);
    return print_text(text);
  }
  std::vector<Row> rows;
  for (std::vector<Row>& table : tables) rows.insert(rows.end(), table.begin(), table.end());
  print_rows(rows, format);
}

}  // namespace

std::vector<Row> model_rows() {
  std::vector<Row> rows;
  for (const std::string& name : nn::model_names()) {
    const std::shared_ptr<nn::ModelConfig> c = nn::model_config(name);
    rows.push_back({{"model", name},
                    {"family", c->family()},
                    {"parameters", c->parameter_count()},
                    {"input", fmt::format("{}x{}x{}", c->channels, c->image_size, c->image_size)},
                    {"classes", c->classes},
                    {"forward_gflop", c->forward_flops() * 1e-9}});
  }
  return rows;
}

void add_models_commands(CLI::App& app, const ExitCode&) {
  CLI::App* models = app.add_subcommand("models", "what models there are, and what a strategy trains of one");
  models->require_subcommand(1);
  CLI::App* one = models->add_subcommand("show",
                                         "tree of a model: shapes (* trains), and parameters and FLOPs of everything "
                                         "below; what each strategy would train");
  const CommonPtr common = add_common(*one);
  const auto name = std::make_shared<std::string>();
  one->add_option("name", *name, "the model")->required();
  add_settings(*one, common);
  one->callback([common, name] {
    begin(*common);
    Config config = settings_of(*common);
    config.set("model.name", *name, Source::kCommandLine);
    show(config, format_by_name(common->format));
  });
  CLI::App* all = models->add_subcommand("ls", "all models");
  const CommonPtr all_common = add_common(*all);
  all->callback([all_common] {
    begin(*all_common);
    print_rows(model_rows(), format_by_name(all_common->format));
  });
}

}  // namespace taut::study
