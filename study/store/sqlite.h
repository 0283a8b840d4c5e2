// SQLite's C interface as two classes. Every failure is an Error that names the database: kIo where the disk refuses,
// kMemory, kBadData where the file is damaged or no database, kUsage for wrong SQL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace taut::study {

using Blob = std::vector<uint8_t>;
// NULL, INTEGER, REAL, TEXT or BLOB.
using SqlValue = std::variant<std::monostate, int64_t, double, std::string, Blob>;
using SqlRow = std::vector<SqlValue>;

class Statement;

class Database {
 public:
  static Database in_memory();
  // An existing file, never written. Throws Error(kMissing) where there is none.
  static Database open(const std::string& path);
  ~Database();
  Database(Database&& other) noexcept;
  Database& operator=(Database&&) = delete;

  void run(const std::string& sql);  // any number of statements without results
  Statement prepare(const std::string& sql);
  std::vector<SqlRow> rows(const std::string& sql, const SqlRow& values = {});
  int64_t integer(const std::string& sql);  // of the first row's first column
  // The bytes of its file, as if it had been written.
  std::string bytes();

 private:
  friend class Statement;
  Database(sqlite3* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  [[noreturn]] void give_up() const;  // with what SQLite said last

  sqlite3* handle_;
  std::string name_;
};

// Compiled once, run many times.
class Statement {
 public:
  Statement(Database& database, const std::string& sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;

  // Starts anew with these values for its question marks.
  void bind(const SqlRow& values);
  // Whether there is a row; after the last one it may be bound again.
  bool step();
  SqlRow row() const;
  std::vector<std::string> columns() const;

 private:
  Database* database_;
  sqlite3_stmt* handle_;
};

const std::string& text_of(const SqlValue& value);  // "" for anything but text
double number_of(const SqlValue& value);            // of an integer or a real; NaN for anything else
int64_t integer_of(const SqlValue& value);          // 0 for anything but an integer
inline bool is_null(const SqlValue& value) { return value.index() == 0; }

}  // namespace taut::study
