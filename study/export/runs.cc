#include "study/export/runs.h"

#include <limits>

#include "kernels/error.h"

namespace taut::study {

std::string StoredRun::param(const std::string& key, const std::string& otherwise) const {
  const auto it = params.find(key);
  return it == params.end() ? otherwise : it->second;
}

double StoredRun::number(const std::string& key) const {
  try {
    return parse_number(key, param(key));
  } catch (const Error&) {
    return std::numeric_limits<double>::quiet_NaN();
  }
}

std::vector<StoredRun> stored_runs(Database& store) {
  std::map<std::string, std::map<std::string, std::string>> params;
  for (const SqlRow& row : store.rows("SELECT run_id, key, value FROM param"))
    params[text_of(row[0])][text_of(row[1])] = text_of(row[2]);
  std::map<std::string, double> best;
  for (const SqlRow& row : store.rows("SELECT run_id, robust_best FROM v_point ORDER BY run_id, step"))
    best[text_of(row[0])] = number_of(row[1]);
  std::vector<StoredRun> runs;
  for (const SqlRow& row :
       store.rows("SELECT v.run_id, v.dataset, v.strategy, v.variant, v.state, v.error, r.model, "
                  "v.seed, r.classes, r.total, r.train_images, v.area, v.final_clean, "
                  "v.final_robust, v.final_out_of_domain FROM v_run v JOIN run r USING (run_id) ORDER BY v.run_id")) {
    StoredRun run;
    run.run_id = text_of(row[0]);
    run.dataset = text_of(row[1]);
    run.strategy = text_of(row[2]);
    run.variant = text_of(row[3]);
    run.state = text_of(row[4]);
    run.error = text_of(row[5]);
    run.params = params[run.run_id];
    run.model = is_null(row[6]) ? run.param("model.name") : text_of(row[6]);
    run.seed = integer_of(row[7]);
    run.classes = integer_of(row[8]);
    run.total = integer_of(row[9]);
    run.train_images = integer_of(row[10]);
    run.area = number_of(row[11]);
    run.final_clean = number_of(row[12]);
    run.final_robust = number_of(row[13]);
    run.final_out_of_domain = number_of(row[14]);
    run.final_robust_best = best.contains(run.run_id) ? best[run.run_id] : std::numeric_limits<double>::quiet_NaN();
    runs.push_back(std::move(run));
  }
  return runs;
}

std::string file_name(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    const bool plain = (u >= '0' && u <= '9') || (u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || c == '_' ||
                       c == '-' || (c == '.' && !name.empty() && name.back() != '.');
    name += plain ? c : '_';
    if (name.size() == 200) break;
  }
  return name.empty() ? "_" : name;
}

}  // namespace taut::study
