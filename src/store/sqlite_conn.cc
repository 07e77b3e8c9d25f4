#include "store/sqlite_conn.h"

#include <sqlite3.h>

#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "base/limits.h"
#include "store/packed_text.h"
#include "store/sql_text.h"

namespace store::detail {
namespace {

constexpr int kProgressOps = 10'000;  // virtual machine steps between two looks at the clock: about 0.2 ms
constexpr int64_t kJournalKeepBytes = 64 << 20;

std::string_view shorten(std::string_view sql) { return sql.substr(0, 200); }

}  // namespace

base::Error sqlite_error(int code, std::string_view message) {
  using base::Code;
  const auto make = [&](Code c, std::string_view what) {
    return base::Error{c, std::string(what) + " (" + std::string(message) + ")"};
  };
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return make(Code::kAlreadyExists, "it already exists");
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return make(Code::kConflict, "something that it refers to, or that refers to it, does not allow this");
    case SQLITE_CONSTRAINT_CHECK: return make(Code::kInvalid, "a value is not allowed");
    default: break;
  }
  switch (code & 0xff) {
    case SQLITE_FULL: return make(Code::kUnavailable, "the disk is full; nothing was stored");
    case SQLITE_IOERR: return make(Code::kUnavailable, "the disk failed; nothing was stored");
    case SQLITE_NOMEM: return make(Code::kUnavailable, "out of memory; nothing was stored");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return make(Code::kUnavailable, "another program holds the database");
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM: return make(Code::kUnavailable, "the database cannot be written");
    case SQLITE_INTERRUPT: return make(Code::kDeadline, "the statement took too long");
    case SQLITE_TOOBIG: return make(Code::kTooLarge, "a value is too large");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make(Code::kInternal, "the database file is damaged; run `lathe fsck` and restore a backup");
    default: return make(Code::kInternal, "the database refused a statement");
  }
}

bool ends_transaction(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL: return true;
    default: return false;
  }
}

SqliteConn::Statement::~Statement() { sqlite3_finalize(handle); }

base::Result<std::unique_ptr<SqliteConn>> SqliteConn::open(const Settings& settings) {
  // Nobody asks how much memory SQLite holds, and counting it takes a lock at each allocation. Before its first use.
  [[maybe_unused]] static const int quiet = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3* db = nullptr;
  const int flags =
      SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
      (settings.access == Access::kWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  const int code =
      sqlite3_open_v2(settings.path.c_str(), &db, flags, settings.vfs.empty() ? nullptr : settings.vfs.c_str());
  std::unique_ptr<SqliteConn> conn(new SqliteConn(db));  // also after an error there is a handle to close
  if (code != SQLITE_OK) {
    return std::unexpected(sqlite_error(code, db ? sqlite3_errmsg(db) : sqlite3_errstr(code)).within(settings.path));
  }
  if (auto configured = conn->configure(settings); !configured) {
    return std::unexpected(std::move(configured).error().within(settings.path));
  }
  return conn;
}

base::Result<void> SqliteConn::configure(const Settings& settings) {
  sqlite3_busy_timeout(db_, kBusyTimeoutMs);
  sqlite3_progress_handler(db_, kProgressOps, &SqliteConn::on_progress, this);
  std::string sql = "PRAGMA mmap_size=0; PRAGMA cache_size=-" + std::to_string(settings.cache_bytes / 1024) + ";";
  if (settings.access == Access::kWrite) {
    sql += "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0;";
    sql += settings.sync_full ? "PRAGMA synchronous=FULL;" : "PRAGMA synchronous=OFF;";
    sql += "PRAGMA journal_size_limit=" + std::to_string(kJournalKeepBytes) + ";";
  } else {
    sql += "PRAGMA query_only=ON;";
  }
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return std::unexpected(last_error());
  if (register_text_functions(db_) != SQLITE_OK) return std::unexpected(last_error());
  return {};
}

SqliteConn::~SqliteConn() {
  statements_.clear();
  sqlite3_close(db_);
}

int SqliteConn::on_progress(void* self) {
  auto* conn = static_cast<SqliteConn*>(self);
  if (conn->cancelled_.stop_requested()) return 1;
  return conn->deadline_mono_us_ != 0 && base::system_clock().mono_us() > conn->deadline_mono_us_;
}

void SqliteConn::set_bound(int64_t deadline_mono_us, std::stop_token cancelled) {
  deadline_mono_us_ = deadline_mono_us;
  cancelled_ = std::move(cancelled);
}

bool SqliteConn::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
int64_t SqliteConn::total_changes() const { return sqlite3_total_changes64(db_); }
int SqliteConn::last_code() const { return prepare_code_ ? prepare_code_ : sqlite3_extended_errcode(db_); }
base::Error SqliteConn::last_error() const { return sqlite_error(last_code(), sqlite3_errmsg(db_)); }

// RETURNING makes SQLite build a table of its answer, and copy every page it changes in case the statement fails half
// way: for a row's id, which the connection knows anyway, that doubles the price of an INSERT. So it is left out, and
// the cursor answers what it would have said.
std::unique_ptr<SqliteConn::Statement> SqliteConn::prepare(std::string_view sql) {
  constexpr std::string_view kReturning = " RETURNING id";
  auto statement = std::make_unique<Statement>();
  statement->text = sql;
  statement->answers_id = sql.starts_with("INSERT ") && sql.ends_with(kReturning) && sql.find("VALUES (") != sql.npos &&
                          sql.find("DO UPDATE") == sql.npos;
  if (statement->answers_id) sql.remove_suffix(kReturning.size());
  prepare_code_ = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                     &statement->handle, nullptr);
  if (prepare_code_ != SQLITE_OK) return nullptr;
  return statement;
}

SqliteConn::Statement* SqliteConn::acquire(std::string_view sql) {
  prepare_code_ = 0;
  Slot& slot = slots_[(reinterpret_cast<uintptr_t>(sql.data()) >> 3 ^ sql.size() * 31) % kSlots];
  Statement* found = nullptr;
  if (slot.data == sql.data() && slot.size == sql.size() && slot.statement->text == sql) {
    found = slot.statement;
  } else if (auto it = statements_.find(sql); it != statements_.end()) {
    found = it->second.get();
    slot = {sql.data(), sql.size(), found};
  }
  if (found == nullptr || found->busy) {
    std::unique_ptr<Statement> fresh = prepare(sql);
    if (!fresh) return nullptr;
    if (found != nullptr) {  // the same text is open already: a second handle for this use only
      fresh->busy = true;
      return fresh.release();
    }
    make_room();
    found = fresh.get();
    found->cached = true;
    statements_.emplace(found->text, std::move(fresh));
    slot = {sql.data(), sql.size(), found};
  }
  found->busy = true;
  found->used = ++uses_;
  return found;
}

void SqliteConn::make_room() {
  if (statements_.size() < base::limits::kStatements) return;
  auto oldest = statements_.end();
  for (auto it = statements_.begin(); it != statements_.end(); ++it) {
    if (!it->second->busy && (oldest == statements_.end() || it->second->used < oldest->second->used)) oldest = it;
  }
  if (oldest == statements_.end()) return;
  for (Slot& slot : slots_) {
    if (slot.statement == oldest->second.get()) slot = {};
  }
  const auto kept = std::move(oldest->second);  // the key points into it
  statements_.erase(oldest);
}

void SqliteConn::release(Statement* statement) {
  sqlite3_reset(statement->handle);
  if (!statement->cached) {
    delete statement;
    return;
  }
  sqlite3_clear_bindings(statement->handle);
  statement->busy = false;
}

bool SqliteConn::control(std::string_view sql) {
  Statement* statement = acquire(sql);
  if (statement == nullptr) return false;
  const int code = sqlite3_step(statement->handle);
  release(statement);
  return code == SQLITE_DONE || code == SQLITE_ROW;
}

// --- Tx -------------------------------------------------------------------------------------------------------------

SqliteTx::SqliteTx(SqliteConn& conn, const base::Context& ctx, int64_t deadline_mono_us, int64_t row_limit, Kept* kept)
    : Tx(&ctx),
      conn_(conn),
      kept_(kept),
      deadline_mono_us_(deadline_mono_us),
      row_limit_(row_limit),
      changes_at_start_(row_limit ? conn.total_changes() : 0) {}

void SqliteTx::fail_statement(std::string_view sql) {
  if (failed()) return;
  code_ = conn_.last_code();
  base::Error error = conn_.last_error();
  if (error.code == base::Code::kInternal) error.message += " in: " + std::string(shorten(sql));
  set_error(std::move(error));
}

bool SqliteTx::bind(SqliteConn::Statement& statement, std::span<const Param> params, bool copy) {
  const auto lifetime = copy ? SQLITE_TRANSIENT : SQLITE_STATIC;
  sqlite3_stmt* handle = statement.handle;
  if (static_cast<size_t>(sqlite3_bind_parameter_count(handle)) != params.size()) {
    set_error({base::Code::kInternal, "a statement was given " + std::to_string(params.size()) +
                                          " parameters: " + std::string(shorten(statement.text))});
    return false;
  }
  for (size_t i = 0; i < params.size(); ++i) {
    const Param& p = params[i];
    const int at = static_cast<int>(i) + 1;
    int code = SQLITE_OK;
    switch (p.type) {
      case Param::Type::kNull: break;  // bindings are clear
      case Param::Type::kInt: code = sqlite3_bind_int64(handle, at, p.i); break;
      case Param::Type::kDouble:
        if (!std::isnan(p.d)) code = sqlite3_bind_double(handle, at, p.d);
        break;
      case Param::Type::kText:
        if (!is_storable_text(p.text)) {
          set_error({base::Code::kInvalid, "a text is not valid UTF-8, or contains a NUL character"});
          return false;
        }
        code =
            sqlite3_bind_text64(handle, at, p.text.data() ? p.text.data() : "", p.text.size(), lifetime, SQLITE_UTF8);
        break;
      case Param::Type::kBlob:
        code = sqlite3_bind_blob64(handle, at, p.text.data() ? p.text.data() : "", p.text.size(), lifetime);
        break;
    }
    if (code != SQLITE_OK) {
      code_ = code;
      set_error(sqlite_error(code, sqlite3_errstr(code)));
      return false;
    }
  }
  return true;
}

void SqliteTx::check_bounds() {
  if (deadline_mono_us_ != 0 && base::system_clock().mono_us() > deadline_mono_us_) {
    set_error({base::Code::kDeadline, "the work on the database took too long"});
  } else if (row_limit_ != 0 && conn_.total_changes() - changes_at_start_ > row_limit_) {
    set_error({base::Code::kTooLarge,
               "one change touches more than " + std::to_string(row_limit_) + " rows; do it in steps"});
  }
}

SqliteConn::Statement* SqliteTx::start(std::string_view sql, std::span<const Param> params, bool copy) {
  if (!failed()) check_bounds();
  if (failed()) return nullptr;
  SqliteConn::Statement* statement = conn_.acquire(sql);
  if (statement == nullptr) {
    fail_statement(sql);
    return nullptr;
  }
  if (!bind(*statement, params, copy)) {
    conn_.release(statement);
    return nullptr;
  }
  wrote_ = wrote_ || !sqlite3_stmt_readonly(statement->handle);
  return statement;
}

int64_t SqliteTx::run(std::string_view sql, std::span<const Param> params) {
  SqliteConn::Statement* statement = start(sql, params, false);
  if (statement == nullptr) return 0;
  int code = sqlite3_step(statement->handle);
  while (code == SQLITE_ROW) code = sqlite3_step(statement->handle);
  int64_t changed = 0;
  if (code == SQLITE_DONE) {
    if (!sqlite3_stmt_readonly(statement->handle)) changed = sqlite3_changes64(conn_.handle());
  } else {
    fail_statement(sql);
  }
  conn_.release(statement);
  return changed;
}

class SqliteCursor final : public Rows::Cursor {
 public:
  SqliteCursor(SqliteTx& tx, SqliteConn::Statement* statement) : tx_(tx), statement_(statement) {}
  ~SqliteCursor() override { tx_.conn_.release(statement_); }

  bool next() override {
    if (ended_ || tx_.failed()) return false;
    const int code = sqlite3_step(statement_->handle);
    if (code == SQLITE_ROW) return true;
    ended_ = true;
    if (code != SQLITE_DONE) tx_.fail_statement(statement_->text);
    return code == SQLITE_DONE && statement_->answers_id && sqlite3_changes64(tx_.conn_.handle()) == 1;
  }
  bool is_null(int c) override {
    return !statement_->answers_id && sqlite3_column_type(statement_->handle, c) == SQLITE_NULL;
  }
  int64_t i64(int c) override {
    return statement_->answers_id ? sqlite3_last_insert_rowid(tx_.conn_.handle())
                                  : sqlite3_column_int64(statement_->handle, c);
  }
  double f64(int c) override { return sqlite3_column_double(statement_->handle, c); }
  std::string_view text(int c) override {
    const void* bytes = sqlite3_column_type(statement_->handle, c) == SQLITE_BLOB
                            ? sqlite3_column_blob(statement_->handle, c)
                            : sqlite3_column_text(statement_->handle, c);
    return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement_->handle, c))};
  }

 private:
  SqliteTx& tx_;
  SqliteConn::Statement* statement_;
  bool ended_ = false;
};

Rows SqliteTx::open(std::string_view sql, std::span<const Param> params) {
  SqliteConn::Statement* statement = start(sql, params, true);
  if (statement == nullptr) return Rows(nullptr);
  return Rows(std::make_unique<SqliteCursor>(*this, statement));
}

}  // namespace store::detail
