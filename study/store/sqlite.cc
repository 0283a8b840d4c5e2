#include "study/store/sqlite.h"

#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <new>
#include <utility>

#include "kernels/error.h"

namespace taut::study {

void Database::give_up() const {
  const int code = sqlite3_errcode(handle_);
  if (code == SQLITE_NOMEM) throw std::bad_alloc();
  const bool disk = code == SQLITE_FULL || code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_READONLY ||
                    code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_PERM;
  const bool damage = code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
  fail(disk ? Exit::kIo : damage ? Exit::kBadData : Exit::kUsage, "[{}] {}", name_, sqlite3_errmsg(handle_));
}

Database Database::in_memory() {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(":memory:", &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database(handle, "results store");
  if (code != SQLITE_OK) database.give_up();
  return database;
}

Database Database::open(const std::string& path) {
  if (!std::filesystem::exists(path)) fail(Exit::kMissing, "[{}] there is no such file", path);
  sqlite3* handle = nullptr;
  // A path that starts with a colon or "file:" would mean something else to SQLite.
  const std::string plain = std::filesystem::absolute(path).string();
  const int code = sqlite3_open_v2(plain.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr);
  Database database(handle, path);
  if (code != SQLITE_OK) database.give_up();
  return database;
}

Database::~Database() { sqlite3_close_v2(handle_); }

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), name_(std::move(other.name_)) {}

void Database::run(const std::string& sql) {
  if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) give_up();
}

Statement Database::prepare(const std::string& sql) { return Statement(*this, sql); }

std::vector<SqlRow> Database::rows(const std::string& sql, const SqlRow& values) {
  std::vector<SqlRow> rows;
  Statement statement = prepare(sql);
  statement.bind(values);
  while (statement.step()) rows.push_back(statement.row());
  return rows;
}

int64_t Database::integer(const std::string& sql) {
  const std::vector<SqlRow> found = rows(sql);
  return found.empty() ? 0 : integer_of(found[0].at(0));
}

std::string Database::bytes() {
  sqlite3_int64 size = 0;
  unsigned char* data = sqlite3_serialize(handle_, "main", &size, 0);
  if (data == nullptr) throw std::bad_alloc();
  const std::unique_ptr<unsigned char, void (*)(void*)> owner(data, sqlite3_free);
  return {reinterpret_cast<const char*>(data), static_cast<size_t>(size)};
}

Statement::Statement(Database& database, const std::string& sql) : database_(&database), handle_(nullptr) {
  if (sqlite3_prepare_v2(database.handle_, sql.c_str(), -1, &handle_, nullptr) != SQLITE_OK) database.give_up();
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), handle_(std::exchange(other.handle_, nullptr)) {}

void Statement::bind(const SqlRow& values) {
  sqlite3_reset(handle_);
  TAUT_CHECK(static_cast<size_t>(sqlite3_bind_parameter_count(handle_)) == values.size(),
             "[{}] expected {} values for a statement, got {}", database_->name_, sqlite3_bind_parameter_count(handle_),
             values.size());
  int at = 0;
  for (const SqlValue& value : values) {
    ++at;
    int code = SQLITE_OK;
    // SQLite copies what it is given, so that the row need not outlive the call.
    if (const auto* i = std::get_if<int64_t>(&value)) {
      code = sqlite3_bind_int64(handle_, at, *i);
    } else if (const auto* d = std::get_if<double>(&value)) {
      code = sqlite3_bind_double(handle_, at, *d);
    } else if (const auto* s = std::get_if<std::string>(&value)) {
      code = sqlite3_bind_text64(handle_, at, s->data(), s->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } else if (const auto* b = std::get_if<Blob>(&value)) {
      code = b->empty() ? sqlite3_bind_zeroblob(handle_, at, 0)
                        : sqlite3_bind_blob64(handle_, at, b->data(), b->size(), SQLITE_TRANSIENT);
    } else {
      code = sqlite3_bind_null(handle_, at);
    }
    if (code != SQLITE_OK) database_->give_up();
  }
}

bool Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_->give_up();
  sqlite3_reset(handle_);
  return false;
}

SqlRow Statement::row() const {
  SqlRow row;
  for (int c = 0; c < sqlite3_column_count(handle_); ++c) {
    const auto size = static_cast<size_t>(sqlite3_column_bytes(handle_, c));
    switch (sqlite3_column_type(handle_, c)) {
      case SQLITE_INTEGER: row.emplace_back(static_cast<int64_t>(sqlite3_column_int64(handle_, c))); break;
      case SQLITE_FLOAT: row.emplace_back(sqlite3_column_double(handle_, c)); break;
      case SQLITE_TEXT:
        row.emplace_back(std::string(reinterpret_cast<const char*>(sqlite3_column_text(handle_, c)), size));
        break;
      case SQLITE_BLOB: {
        const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(handle_, c));
        row.emplace_back(Blob(data, data + size));
        break;
      }
      default: row.emplace_back(std::monostate{});
    }
  }
  return row;
}

std::vector<std::string> Statement::columns() const {
  std::vector<std::string> names;
  for (int c = 0; c < sqlite3_column_count(handle_); ++c) names.emplace_back(sqlite3_column_name(handle_, c));
  return names;
}

const std::string& text_of(const SqlValue& value) {
  static const std::string kNone;
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? kNone : *text;
}

double number_of(const SqlValue& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return static_cast<double>(*i);
  const auto* d = std::get_if<double>(&value);
  return d == nullptr ? std::numeric_limits<double>::quiet_NaN() : *d;
}

int64_t integer_of(const SqlValue& value) {
  const auto* i = std::get_if<int64_t>(&value);
  return i == nullptr ? 0 : *i;
}

}  // namespace taut::study
