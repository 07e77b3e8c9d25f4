// One SQLite connection: its prepared statements, its errors, its bound on time; and the Tx of a job that runs on it.
// Internal to the store. Thread: a connection belongs to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "store/kept.h"
#include "store/tx.h"

struct sqlite3;
struct sqlite3_stmt;

namespace store::detail {

inline constexpr int kBusyTimeoutMs = 5'000;  // while somebody's sqlite3 shell holds the lock

enum class Access : uint8_t { kWrite, kRead };

class SqliteConn {
 public:
  struct Settings {
    std::string path;
    std::string vfs;  // empty: the default
    Access access = Access::kRead;
    bool sync_full = true;
    size_t cache_bytes = 0;
  };

  struct Statement {
    std::string text;
    sqlite3_stmt* handle = nullptr;
    uint64_t used = 0;  // for eviction: the connection's use count at the last use
    bool busy = false;  // its rows are being read: the same text needs a second handle
    bool cached = false;
    bool answers_id = false;  // ends in RETURNING id, which was taken off: see prepare()
    ~Statement();
  };

  static base::Result<std::unique_ptr<SqliteConn>> open(const Settings& settings);
  ~SqliteConn();
  SqliteConn(const SqliteConn&) = delete;

  // Null after an error, which last_error() tells. Give it back with release().
  Statement* acquire(std::string_view sql);
  void release(Statement* statement);

  // BEGIN, SAVEPOINT, COMMIT, …: false after an error.
  bool control(std::string_view sql);

  bool in_transaction() const;
  int64_t total_changes() const;
  int last_code() const;  // extended result code of the last call
  base::Error last_error() const;
  sqlite3* handle() const { return db_; }

  // Statements are interrupted past the deadline (monotonic) or, where given, when a stop is requested.
  void set_bound(int64_t deadline_mono_us, std::stop_token cancelled = {});
  void clear_bound() { set_bound(0); }

 private:
  explicit SqliteConn(sqlite3* db) : db_(db) {}
  base::Result<void> configure(const Settings& settings);
  std::unique_ptr<Statement> prepare(std::string_view sql);
  void make_room();
  static int on_progress(void* self);

  // Looked up by address and length of the literal first (then compared: text built at run time may reuse an address).
  struct Slot {
    const char* data = nullptr;
    size_t size = 0;
    Statement* statement = nullptr;
  };
  static constexpr size_t kSlots = 256;

  sqlite3* db_ = nullptr;
  int prepare_code_ = 0;
  std::array<Slot, kSlots> slots_{};
  std::unordered_map<std::string_view, std::unique_ptr<Statement>> statements_;  // keys point into Statement::text
  uint64_t uses_ = 0;
  int64_t deadline_mono_us_ = 0;
  std::stop_token cancelled_;
};

// What SQLite's result code means to a user.
base::Error sqlite_error(int extended_code, std::string_view message);
// The transaction, not just the statement, is lost or must not be trusted.
bool ends_transaction(int extended_code);

class SqliteTx final : public Tx {
 public:
  // `deadline_mono_us` bounds the whole job; `row_limit` its changed rows (0: none).
  SqliteTx(SqliteConn& conn, const base::Context& ctx, int64_t deadline_mono_us, int64_t row_limit,
           Kept* kept = nullptr);

  Backend backend() const override { return Backend::kSqlite; }
  int64_t run(std::string_view sql, std::span<const Param> params) override;
  Rows open(std::string_view sql, std::span<const Param> params) override;
  void lock(std::string_view, std::string_view) override {}  // one writer

  Kept* kept() const { return kept_; }
  bool wakes_event_listeners() const { return wake_; }
  bool wrote() const { return wrote_; }  // ran a statement that may have changed the database
  int code() const { return code_; }     // extended result code of the first failed statement, else 0
  const base::Error& error() const { return *error_; }

 private:
  friend class SqliteCursor;
  // `copy`: rows are read after the caller's parameters may have gone.
  SqliteConn::Statement* start(std::string_view sql, std::span<const Param> params, bool copy);
  bool bind(SqliteConn::Statement& statement, std::span<const Param> params, bool copy);
  void fail_statement(std::string_view sql);
  void check_bounds();

  SqliteConn& conn_;
  Kept* const kept_;
  int64_t deadline_mono_us_;
  int64_t row_limit_;
  int64_t changes_at_start_;
  int code_ = 0;
  bool wrote_ = false;
};

}  // namespace store::detail
