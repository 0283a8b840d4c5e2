#include "study/store/store.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "kernels/error.h"
#include "study/plan.h"
#include "study/run/directory.h"
#include "study/run/stored_result.h"
#include "study/store/run_record.h"
#include "study/store/schema.h"
#include "study/text_file.h"
#include "study/untrusted.h"
#include "tensor/atomic_file.h"

namespace taut::study {
namespace fs = std::filesystem;
namespace {

enum class Rank { kMissing, kFailed, kDone };

// Where a version of a run can be read: a folder, or one of the stores.
struct Place {
  std::string folder;
  Database* store = nullptr;
  std::string name;  // what people read
};

struct Seen {
  Rank rank = Rank::kMissing;
  bool known = false;  // has an identity
  RunIdentity identity;
  std::string error;                                   // of a failed one
  std::map<std::string, std::vector<Place>> versions;  // of finished ones, by their sum

  bool conflict() const { return versions.size() > 1; }

  void add(Rank other, const RunIdentity& who, const std::string& why) {
    if (!known || other > rank) {
      rank = other;
      identity = who;
      error = why;
    } else if (other == rank) {
      if (who.before(identity)) identity = who;
      error = std::min(error, why);
    }
    known = true;
  }
};

std::string marks(size_t n) {
  std::string text = "?";
  for (size_t i = 1; i < n; ++i) text += ", ?";
  return text;
}

class Gathering {
 public:
  void add(const std::string& source) {
    if (fs::is_regular_file(source)) {
      add_store(source);
    } else if (fs::is_directory(source)) {
      add_folder(source);
    } else {
      fail(Exit::kMissing, "[{}] there is no such folder or store", source);
    }
  }

  void add_store(const std::string& path) {
    stores_.push_back(std::make_unique<Database>(open_store(path)));
    Database& store = *stores_.back();
    for (const SqlRow& row :
         store.rows("SELECT run_id, dataset, strategy, variant, seed, state, error, sha256 FROM run")) {
      const std::string &id = text_of(row[0]), &state = text_of(row[5]);
      RunIdentity who{text_of(row[1]), text_of(row[2]), text_of(row[3]), integer_of(row[4]), {}};
      for (const SqlRow& p : store.rows("SELECT key, value FROM param WHERE run_id = ?", {id}))
        who.params[text_of(p[0])] = text_of(p[1]);
      Seen& run = runs_[id];
      const Rank rank = state == "missing" ? Rank::kMissing : state == "failed" ? Rank::kFailed : Rank::kDone;
      run.add(rank, who, text_of(row[6]));
      const Place here{.folder = "", .store = &store, .name = path};
      if (state == "done") run.versions[text_of(row[7])].push_back(here);
      for (const SqlRow& c : store.rows("SELECT sha256 FROM conflict WHERE run_id = ?", {id}))
        run.versions[text_of(c[0])].push_back(here);
    }
  }

  Database build() {
    Database database = Database::in_memory();
    make_store(database);
    database.run("BEGIN");
    for (const auto& [id, run] : runs_) insert(database, id, run);
    inserts_.clear();
    database.run("COMMIT");
    database.run("VACUUM");  // where a row lies in its page would else tell in which order they came
    return database;
  }

  Merged counts() const {
    Merged merged;
    for (const auto& [id, run] : runs_) {
      ++merged.runs;
      if (run.conflict()) {
        ++merged.conflicts;
        std::string places;
        for (const auto& [sum, where] : run.versions)
          places += fmt::format("{}{} ({})", places.empty() ? "" : ", ", where[0].name, sum.substr(0, 12));
        merged.problems.push_back(fmt::format("conflict: {}: different results in {}", id, places));
      } else if (run.rank == Rank::kDone) {
        ++merged.done;
        std::set<std::string> folders;
        for (const Place& p : run.versions.begin()->second)
          if (p.store == nullptr) folders.insert(p.folder);
        if (folders.size() < 2) continue;
        ++merged.duplicates;
        merged.problems.push_back(fmt::format("duplicate: {}: the same result in {}", id, fmt::join(folders, ", ")));
      } else if (run.rank == Rank::kFailed) {
        ++merged.failed;
        merged.problems.push_back(fmt::format("failed: {}: {}", id, run.error));
      } else {
        ++merged.missing;
        merged.problems.push_back(fmt::format("missing: {}", id));
      }
    }
    return merged;
  }

 private:
  std::map<std::string, RunIdentity> planned_runs(const std::string& folder) const {
    std::map<std::string, RunIdentity> planned;
    std::string file = folder + "/study.json";
    try {
      if (fs::exists(file)) {
        const Json plan = read_json(file);
        for (const Json& row : plan.at("rows")) {
          RunIdentity who = identity_of(row);
          for (const auto& [key, value] : row.at("settings").items())
            if (is_param(key)) who.params[key] = value.at(0).get<std::string>();
          who.seed = std::stoll(who.params.at("seed"));
          planned[row.at("run_id")] = std::move(who);
        }
      } else if (file = folder + "/plan.jsonl"; fs::exists(file)) {
        for (const std::string& line : lines_of(read_text_file(file))) {
          const Json row = parse_json(line);
          RunIdentity who = identity_of(row);
          who.seed = row.at("seed");
          planned[row.at("run_id")] = std::move(who);
        }
      }
    } catch (const std::exception& error) {
      const auto* own = dynamic_cast<const Error*>(&error);
      if (own != nullptr) throw;
      fail(Exit::kBadData, "[{}] is no plan of a study: {}", file, error.what());
    }
    for (const auto& [id, who] : planned) check_run_id(id, file);
    return planned;
  }

  static RunIdentity identity_of(const Json& row) {
    return {row.at("dataset"), row.at("strategy"), row.value("variant", ""), 0, {}};
  }

  void add_folder(const std::string& folder) {
    if (fs::exists(folder + "/result.json") || fs::exists(folder + "/failed.json")) {
      look(folder, "", nullptr);
      return;
    }
    const std::map<std::string, RunIdentity> planned = planned_runs(folder);
    const std::string runs = fs::is_directory(folder + "/runs") ? folder + "/runs" : folder;
    for (const auto& [id, who] : planned) look(runs + "/" + id, id, &who);
    int64_t found = static_cast<int64_t>(planned.size());
    for (const auto& entry : fs::directory_iterator(runs)) {
      const std::string path = entry.path().string(), id = entry.path().filename().string();
      if (planned.contains(id) || id.starts_with(".")) continue;
      if (!fs::exists(path + "/result.json") && !fs::exists(path + "/failed.json")) continue;
      look(path, id, nullptr);
      ++found;
    }
    if (found == 0)
      fail(Exit::kMissing, "[{}] has neither a plan nor runs; hint: the folder that `taut study run --out` made",
           folder);
  }

  // `id` is the folder's name, or empty where any run may lie there.
  void look(const std::string& folder, std::string id, const RunIdentity* planned) {
    RunIdentity who = planned == nullptr ? RunIdentity{} : *planned;
    try {
      if (fs::exists(folder + "/result.json")) {
        const RunRecord record = read_run_record(folder, id);
        id = record.run_id;
        who = record.identity;
        who.params = planned == nullptr ? recorded_params(folder) : planned->params;
        runs_[id].add(Rank::kDone, who, "");
        runs_[id].versions[record.sha256].push_back(
            {.folder = fs::weakly_canonical(folder).string(), .store = nullptr, .name = folder});
      } else if (fs::exists(folder + "/failed.json")) {
        failed(folder, id, who, recorded_failure(folder));
      } else {
        runs_[id].add(Rank::kMissing, who, "");
      }
    } catch (const Error& error) {
      if (error.code() == Exit::kIo) throw;
      failed(folder, id, who, error.what());
    }
  }

  void failed(const std::string& folder, const std::string& id, const RunIdentity& who, const std::string& why) {
    runs_[id.empty() ? fs::path(folder).filename().string() : id].add(Rank::kFailed, who, named_within(why, folder));
  }

  void put(Database& database, const std::string& table, const std::vector<SqlRow>& rows) {
    if (rows.empty()) return;
    auto it = inserts_.find(table);
    if (it == inserts_.end())
      it =
          inserts_
              .emplace(table, database.prepare(fmt::format("INSERT INTO {} VALUES ({})", table, marks(rows[0].size()))))
              .first;
    for (const SqlRow& row : rows) {
      it->second.bind(row);
      it->second.step();
    }
  }

  void insert(Database& database, const std::string& id, const Seen& run) {
    const auto with_id = [&](std::vector<SqlRow> rows) {
      for (SqlRow& row : rows) row.insert(row.begin(), id);
      return rows;
    };
    const bool done = run.rank == Rank::kDone && !run.conflict();
    const char* state = run.conflict() ? "conflict" : done ? "done" : run.rank == Rank::kFailed ? "failed" : "missing";
    const RunIdentity& who = run.identity;
    SqlRow row = {id, who.dataset, who.strategy, who.variant, who.seed, std::string(state), run.error};
    std::map<std::string, std::vector<SqlRow>> body;
    if (done) {
      const auto& [sum, places] = *run.versions.begin();
      SqlRow result;
      read_body(id, sum, places, result, body);
      row.emplace_back(sum);
      row.insert(row.end(), result.begin(), result.end());
    }
    row.resize(static_cast<size_t>(columns_of(database)));
    put(database, "run", {row});
    std::vector<SqlRow> params;
    for (const auto& [key, value] : who.params) params.push_back({id, key, value});
    put(database, "param", params);
    for (const std::string& table : store_tables())
      if (body.contains(table)) put(database, table, with_id(std::move(body[table])));
    if (!run.conflict()) return;
    std::vector<SqlRow> sums;
    for (const auto& [sum, places] : run.versions) sums.push_back({id, sum});
    put(database, "conflict", sums);
  }

  int64_t columns_of(Database& database) {
    if (columns_ == 0) columns_ = database.integer("SELECT COUNT(*) FROM pragma_table_info('run')");
    return columns_;
  }

  static void read_body(const std::string& id, const std::string& sum, const std::vector<Place>& places, SqlRow& result,
                        std::map<std::string, std::vector<SqlRow>>& body) {
    const auto stored = std::find_if(places.begin(), places.end(), [](const Place& p) { return p.store != nullptr; });
    if (stored == places.end()) {
      RunRecord record = read_run_record(places[0].folder, id);
      if (record.sha256 != sum) fail(Exit::kIo, "[{}] changed while it was merged; hint: again", places[0].folder);
      result = std::move(record.result);
      body = std::move(record.rows);
      return;
    }
    for (const std::string& table : store_tables()) {
      if (table == "param" || table == "conflict") continue;
      for (SqlRow& row : stored->store->rows(fmt::format("SELECT * FROM {} WHERE run_id = ?", table), {id})) {
        if (table == "run") {
          result.assign(row.begin() + 8, row.end());
        } else {
          row.erase(row.begin());
          body[table].push_back(std::move(row));
        }
      }
    }
  }

  std::map<std::string, Seen> runs_;
  std::vector<std::unique_ptr<Database>> stores_;
  std::map<std::string, Statement> inserts_;
  int64_t columns_ = 0;
};

// Keeps other merges out of the folder of the file while it is read, built and replaced; leaves no file of its own.
class FolderLock {
 public:
  explicit FolderLock(const std::string& file) {
    const fs::path parent = fs::path(file).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0) fail(Exit::kIo, "[{}] its folder cannot be opened", file);
    ::flock(fd_, LOCK_EX);  // file systems without locks are used by one merge at a time
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

}  // namespace

Merged merge_into(const std::vector<std::string>& sources, const std::string& path) {
  const FolderLock lock(path);
  Gathering gathering;
  if (fs::exists(path)) gathering.add_store(path);
  for (const std::string& source : sources) gathering.add(source);
  const std::string bytes = gathering.build().bytes();
  write_file_atomically(path, bytes);
  return gathering.counts();
}

Database store_of(const std::vector<std::string>& sources, Merged* merged) {
  Gathering gathering;
  for (const std::string& source : sources) gathering.add(source);
  if (merged != nullptr) *merged = gathering.counts();
  return gathering.build();
}

}  // namespace taut::study
