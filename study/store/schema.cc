#include "study/store/schema.h"

#include "kernels/error.h"

namespace taut::study {
namespace {

// Without rowids, rows lie in the order of their keys, so that the order of merging leaves no trace in the file.
constexpr const char* kTables = R"sql(
CREATE TABLE run (
  run_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, strategy TEXT NOT NULL, variant TEXT NOT NULL, seed INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('done', 'failed', 'missing', 'conflict')), error TEXT NOT NULL,
  sha256 TEXT, mode TEXT, model TEXT, steps INTEGER, classes INTEGER, trainable INTEGER, total INTEGER,
  images_trained INTEGER, train_images INTEGER, test_images INTEGER, train_flops REAL, eval_flops REAL,
  config_sha256 TEXT, base_sha256 TEXT, weights_sha256 TEXT, delta_sha256 TEXT, forced_resume INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE param (
  run_id TEXT NOT NULL REFERENCES run, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE point (
  run_id TEXT NOT NULL REFERENCES run, step INTEGER NOT NULL, n INTEGER NOT NULL, clean_correct INTEGER NOT NULL,
  robust_last_correct INTEGER NOT NULL, robust_best_correct INTEGER NOT NULL, mean_loss_clean REAL, mean_loss_adv REAL,
  max_perturbation REAL, train_n INTEGER, train_correct INTEGER, PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE shifted (
  run_id TEXT NOT NULL REFERENCES run, step INTEGER NOT NULL, domain TEXT NOT NULL, n INTEGER NOT NULL,
  correct INTEGER NOT NULL, PRIMARY KEY (run_id, step, domain)
) STRICT, WITHOUT ROWID;
CREATE TABLE metric (
  run_id TEXT NOT NULL REFERENCES run, step INTEGER NOT NULL, split TEXT NOT NULL, name TEXT NOT NULL, value REAL,
  low REAL, high REAL, n INTEGER, PRIMARY KEY (run_id, step, split, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE sample (
  run_id TEXT NOT NULL REFERENCES run, step INTEGER NOT NULL, n INTEGER NOT NULL, clean BLOB NOT NULL,
  robust_last BLOB NOT NULL, robust_best BLOB NOT NULL, PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE harness_check (
  run_id TEXT NOT NULL REFERENCES run, step INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  pass INTEGER NOT NULL, PRIMARY KEY (run_id, step, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE note (
  run_id TEXT NOT NULL REFERENCES run, position INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE conflict (
  run_id TEXT NOT NULL REFERENCES run, sha256 TEXT NOT NULL, PRIMARY KEY (run_id, sha256)
) STRICT, WITHOUT ROWID;
)sql";

// The hypervolume from counts: whole numbers until one division, as in study/pareto.h, so that both give the same bits.
// A run without an attack counted clean images as robust ones: where a view has robust accuracy or an area, it is NULL.
constexpr const char* kViews = R"sql(
CREATE VIEW v_attacked AS
SELECT run_id FROM run EXCEPT SELECT run_id FROM param WHERE key = 'attack.name' AND value = 'none';

CREATE VIEW v_point AS
SELECT r.dataset, r.strategy, r.variant, r.seed, p.run_id, p.step, p.n, p.clean_correct * 1.0 / p.n AS clean,
  CASE WHEN a.value IS NOT 'none' THEN p.robust_last_correct * 1.0 / p.n END AS robust_last,
  CASE WHEN a.value IS NOT 'none' THEN p.robust_best_correct * 1.0 / p.n END AS robust_best,
  p.mean_loss_clean, CASE WHEN a.value IS NOT 'none' THEN p.mean_loss_adv END AS mean_loss_adv,
  p.train_correct * 1.0 / NULLIF(p.train_n, 0) AS train, o.value AS out_of_domain
FROM point p JOIN run r USING (run_id) LEFT JOIN param a ON a.run_id = p.run_id AND a.key = 'attack.name'
  LEFT JOIN metric o ON o.run_id = p.run_id AND o.step = p.step AND o.split = 'out_of_domain'
    AND o.name = 'clean_accuracy';

CREATE VIEW v_front AS
WITH attacked AS (SELECT * FROM point WHERE run_id IN v_attacked), judged AS (
  SELECT run_id, step, n, clean_correct AS a, robust_last_correct AS r, 'last' AS judged FROM attacked
  UNION ALL SELECT run_id, step, n, clean_correct, robust_best_correct, 'best' FROM attacked
), ranked AS (
  SELECT *, MAX(r) OVER (PARTITION BY run_id, judged ORDER BY a DESC, r DESC, step
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS above FROM judged
)
SELECT run_id, judged, step, n, a AS clean_correct, r AS robust_correct, a * 1.0 / n AS clean, r * 1.0 / n AS robust,
  a * (r - COALESCE(above, 0)) AS area_counts
FROM ranked WHERE above IS NULL OR r > above;

CREATE VIEW v_run AS
WITH areas AS (
  SELECT run_id, SUM(CASE judged WHEN 'last' THEN area_counts ELSE 0 END) * 1.0 / (MAX(n) * MAX(n)) AS area,
    SUM(CASE judged WHEN 'best' THEN area_counts ELSE 0 END) * 1.0 / (MAX(n) * MAX(n)) AS area_best_iterate,
    MAX(robust) FILTER (WHERE judged = 'last') AS peak_robust
  FROM v_front GROUP BY run_id
), ends AS (
  SELECT run_id, step, clean AS final_clean, robust_last AS final_robust, out_of_domain AS final_out_of_domain,
    ROW_NUMBER() OVER (PARTITION BY run_id ORDER BY step DESC) AS back FROM v_point
)
SELECT r.run_id, r.dataset, r.strategy, r.variant, r.seed, r.state, a.area, a.area_best_iterate, a.peak_robust,
  e.final_clean, e.final_robust, r.trainable, r.total, r.error, e.final_out_of_domain
FROM run r LEFT JOIN areas a USING (run_id) LEFT JOIN ends e ON e.run_id = r.run_id AND e.back = 1;

CREATE VIEW v_area AS
WITH means AS (
  SELECT dataset, strategy, COUNT(*) AS runs, AVG(area) AS area, MIN(area) AS least, MAX(area) AS most,
    AVG(area_best_iterate) AS area_best_iterate
  FROM v_run WHERE state = 'done' AND area IS NOT NULL GROUP BY dataset, strategy
)
SELECT dataset, strategy, runs, area, least, most, area_best_iterate,
  100 * (area / NULLIF(AVG(area) OVER (PARTITION BY dataset), 0) - 1) AS percent_above_average
FROM means;

CREATE VIEW v_leaderboard AS
SELECT r.dataset, CASE WHEN a.area IS NOT NULL THEN
    RANK() OVER (PARTITION BY r.dataset ORDER BY a.area DESC) END AS place, r.strategy, a.area,
  a.percent_above_average, AVG(r.final_clean) AS final_clean, AVG(r.final_robust) AS final_robust,
  AVG(r.peak_robust) AS peak_robust, COUNT(*) AS runs, AVG(r.final_out_of_domain) AS final_out_of_domain
FROM v_run r LEFT JOIN v_area a ON r.dataset = a.dataset AND r.strategy = a.strategy
WHERE r.state = 'done' GROUP BY r.dataset, r.strategy;

CREATE VIEW v_trajectory AS
SELECT dataset, strategy, step, COUNT(*) AS runs, AVG(clean) AS clean, AVG(robust_last) AS robust,
  MIN(robust_last) AS least_robust, MAX(robust_last) AS most_robust
FROM v_point GROUP BY dataset, strategy, step;

CREATE VIEW v_state AS
SELECT dataset, strategy, COUNT(*) AS runs, SUM(state = 'done') AS done, SUM(state = 'missing') AS missing,
  SUM(state = 'failed') AS failed, SUM(state = 'conflict') AS conflicts
FROM run GROUP BY dataset, strategy;
)sql";

}  // namespace

const std::vector<std::string>& store_tables() {
  static const std::vector<std::string> kNames = {"run",    "param",         "point", "shifted", "metric",
                                                  "sample", "harness_check", "note",  "conflict"};
  return kNames;
}

void make_store(Database& database) {
  // Secure deletion leaves no remains of moved cells in a page; the other settings are what a build may have changed.
  database.run("PRAGMA page_size = 4096; PRAGMA encoding = 'UTF-8'; PRAGMA auto_vacuum = 0; PRAGMA secure_delete = 1;");
  database.run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kStoreApplication, kStoreVersion));
  database.run(kTables);
  database.run(kViews);
}

Database open_store(const std::string& path) {
  Database database = Database::open(path);
  int64_t application = 0, version = 0;
  try {
    application = database.integer("PRAGMA application_id");
    version = database.integer("PRAGMA user_version");
  } catch (const Error& error) {
    fail(error.code(), "[{}] is no results store: {}; hint: another --db", path, error.what());
  }
  if (application != kStoreApplication)
    fail(Exit::kBadData, "[{}] is a database, but no results store; hint: another --db", path);
  if (version != kStoreVersion)
    fail(Exit::kBadData, "[{}] expected a results store of version {}, got {}; hint: merge the runs into a new file",
         path, kStoreVersion, version);
  return database;
}

}  // namespace taut::study
