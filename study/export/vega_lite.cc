// Vega-Lite specifications with the data inline, for people who want to draw the report's figures anew.
#include <cmath>
#include <map>

#include "study/export/export.h"
#include "study/report/looks.h"
#include "study/run/directory.h"

namespace taut::study {
namespace {

// A specification is for a browser: of a long course so many evaluations are kept, evenly, the last among them.
constexpr int64_t kMostSteps = 500;

Json field(const char* name, const char* type, const char* title) {
  return {{"field", name}, {"type", type}, {"title", title}};
}

Json value_of(const SqlValue& value) {
  if (const auto* s = std::get_if<std::string>(&value)) return *s;
  if (const auto* i = std::get_if<int64_t>(&value)) return *i;
  const double v = number_of(value);
  return std::isfinite(v) ? Json(v) : Json(nullptr);
}

Json values(Database& store, const std::string& sql) {
  Json list = Json::array();
  Statement statement = store.prepare(sql);
  const std::vector<std::string> names = statement.columns();
  while (statement.step()) {
    const SqlRow row = statement.row();
    Json object;
    for (size_t c = 0; c < names.size(); ++c) object[names[c]] = value_of(row[c]);
    list.push_back(std::move(object));
  }
  return list;
}

// One colour a strategy, the report's.
Json colour(Database& store) {
  Json domain = Json::array(), range = Json::array();
  size_t position = 0;
  for (const SqlRow& row : store.rows("SELECT DISTINCT strategy FROM run ORDER BY strategy")) {
    domain.push_back(text_of(row[0]));
    range.push_back(std::string(look_of(text_of(row[0]), position++).colour));
  }
  Json encoding = field("strategy", "nominal", "strategy");
  encoding["scale"] = {{"domain", domain}, {"range", range}};
  return encoding;
}

// `mark` over `data`, a panel a data set.
std::string specification(const std::string& title, Json data, Json mark, Json encoding) {
  encoding["facet"] = {{"field", "dataset"}, {"type", "nominal"}, {"columns", 2}};
  const Json spec = {{"$schema", "https://vega.github.io/schema/vega-lite/v5.json"},
                     {"title", title},
                     {"data", {{"values", std::move(data)}}},
                     {"mark", std::move(mark)},
                     {"encoding", std::move(encoding)},
                     {"resolve", {{"scale", {{"x", "independent"}, {"y", "independent"}}}}}};
  return spec.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

void export_vega_lite(Database& store, const ExportSink& sink) {
  const Json strategy = colour(store);
  const std::string thinned =
      "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY dataset, strategy ORDER BY step) AS i, COUNT(*) OVER "
      "(PARTITION BY dataset, strategy) AS steps FROM v_trajectory) WHERE i = steps OR (i - 1) % ((steps + " +
      std::to_string(kMostSteps - 1) + ") / " + std::to_string(kMostSteps) + ") = 0";
  const std::string mean = "SELECT dataset, strategy, step, runs, clean, robust, least_robust, most_robust FROM (" +
                           thinned + ") WHERE robust IS NOT NULL";
  Json step = field("step", "quantitative", "training step");
  step["scale"] = {{"type", "symlog"}};
  sink("trajectories.vl.json",
       specification("Robust accuracy while fine-tuning, mean over runs", values(store, mean),
                     {{"type", "line"}, {"point", true}, {"tooltip", true}},
                     {{"x", step}, {"y", field("robust", "quantitative", "robust accuracy")}, {"color", strategy}}));
  const std::string fronts =
      "SELECT dataset, strategy, run_id, step, clean, robust FROM (SELECT r.dataset, r.strategy, f.*, ROW_NUMBER() "
      "OVER "
      "(PARTITION BY f.run_id ORDER BY step) AS i, COUNT(*) OVER (PARTITION BY f.run_id) AS steps FROM v_front f JOIN "
      "run r USING (run_id) WHERE judged = 'last') WHERE i = steps OR (i - 1) % ((steps + " +
      std::to_string(kMostSteps - 1) + ") / " + std::to_string(kMostSteps) + ") = 0";
  sink("fronts.vl.json",
       specification("Pareto fronts of clean and robust accuracy", values(store, fronts),
                     {{"type", "line"}, {"interpolate", "step-before"}, {"point", true}, {"tooltip", true}},
                     {{"x", field("clean", "quantitative", "clean accuracy")},
                      {"y", field("robust", "quantitative", "robust accuracy")},
                      {"color", strategy},
                      {"detail", {{"field", "run_id"}, {"type", "nominal"}}}}));
  Json place = field("strategy", "nominal", "strategy");
  place["sort"] = "-x";
  sink("areas.vl.json",
       specification("Area under the Pareto front, mean over runs", values(store, "SELECT * FROM v_area"),
                     {{"type", "bar"}, {"tooltip", true}},
                     {{"x", field("area", "quantitative", "area")}, {"y", place}, {"color", strategy}}));
}

}  // namespace taut::study
