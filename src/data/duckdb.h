// DuckDB, loaded at run time (dlopen) in a child process: the engine behind preparation. Never opened by the server.
//
// Settings: one thread (sums keep their order), extensions never loaded nor fetched, a memory limit past which it
// spills into `temp_dir`. Duck's answers that depend on its version (its number formats, its approximate aggregates)
// are not used: text of numbers, hashes and statistics are ours. Thread: one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace data {

// Where libduckdb.so is: setting LATHE_DUCKDB (file or folder), beside this binary or in its ../lib/lathe, build/deps
// above it, else the loader's path. kUnavailable, with what was tried and what to do, if there is none.
base::Result<std::string> duckdb_library();

class DuckDb {
 public:
  struct Options {
    base::Path work_dir;  // must exist; holds the database file and what spills
    std::string memory_limit = "512MB";
  };
  static base::Result<std::unique_ptr<DuckDb>> open(const Options& options);
  ~DuckDb();
  DuckDb(const DuckDb&) = delete;

  std::string version() const;
  base::Result<void> run(const std::string& sql);
  base::Result<int64_t> count(const std::string& sql);  // the one BIGINT of the one row

  // Up to 2048 rows of an answer. Columns are read as the type that the statement gave them (CAST there).
  class Chunk {
   public:
    size_t rows() const { return rows_; }
    bool null(size_t column, size_t row) const;
    double f64(size_t column, size_t row) const;             // DOUBLE
    int64_t i64(size_t column, size_t row) const;            // BIGINT
    uint64_t u64(size_t column, size_t row) const;           // UBIGINT
    std::string_view text(size_t column, size_t row) const;  // VARCHAR; valid while the chunk is

   private:
    friend class DuckDb;
    struct Vector {
      void* data;
      uint64_t* validity;  // null: all valid
    };
    std::vector<Vector> vectors_;
    size_t rows_ = 0;
  };
  // Streams the answer; an error from `visit` stops it and is answered.
  base::Result<void> query(const std::string& sql, const std::function<base::Result<void>(const Chunk&)>& visit);

  struct ColumnType {
    std::string name;
    std::string type;  // Duck's word: "DOUBLE", "VARCHAR", "DECIMAL(10,2)", …
  };
  base::Result<std::vector<ColumnType>> describe(const std::string& select);

  // Bulk rows into a table. Values in the order of the table's columns; finish() or the rows are not there.
  class Appender {
   public:
    Appender(Appender&& other) noexcept;
    ~Appender();
    void null();
    void f64(double value);
    void i64(int64_t value);
    void u64(uint64_t value);
    void text(std::string_view value);
    base::Result<void> end_row();  // answers what went wrong with any value of the row
    base::Result<void> finish();

   private:
    friend class DuckDb;
    Appender(DuckDb& db, void* handle) : db_(&db), handle_(handle) {}
    DuckDb* db_;
    void* handle_;
  };
  base::Result<Appender> append(const std::string& table);

 private:
  struct Library;
  DuckDb();
  std::unexpected<base::Error> error(std::string_view what, const char* message) const;

  std::unique_ptr<Library> library_;
  void* database_ = nullptr;
  void* connection_ = nullptr;
};

std::string sql_name(std::string_view name);  // "quoted"
std::string sql_text(std::string_view text);  // 'quoted'

}  // namespace data
