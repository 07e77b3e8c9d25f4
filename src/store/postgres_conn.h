// One PostgreSQL connection: its prepared statements and its errors; and the Tx of a job that runs on it.
// Internal to the store. Thread: a connection belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"
#include "store/kept.h"
#include "store/tx.h"

struct pg_conn;
struct pg_result;

namespace store::detail {

struct PgResultFree {
  void operator()(pg_result* result) const;
};
using PgResult = std::unique_ptr<pg_result, PgResultFree>;

// What went wrong, and what may be done about it.
struct PgError {
  base::Error error;
  bool lost = false;       // the connection is gone
  bool run_again = false;  // serialisation failure, deadlock, or lost before COMMIT
};

class PgConn {
 public:
  struct Settings {
    std::string url;
    std::string schema;
    std::string application;  // shown by pg_stat_activity
  };
  static base::Result<std::unique_ptr<PgConn>> open(const Settings& settings);
  ~PgConn();
  PgConn(const PgConn&) = delete;

  // Statements of ours without parameters; several, separated by ';', go in one round trip.
  std::expected<PgResult, PgError> simple(const std::string& sql);
  std::expected<PgResult, PgError> prepared(std::string_view sql, std::span<const Param> params);

  bool lost() const;
  pg_conn* handle() const { return conn_; }

 private:
  explicit PgConn(pg_conn* conn) : conn_(conn) {}
  std::expected<std::string, PgError> statement_name(std::string_view sql, std::span<const Param> params);
  std::expected<void, PgError> make_room();
  std::expected<PgResult, PgError> checked(pg_result* result, std::string_view sql);

  struct Prepared {
    std::string name;
    uint64_t used;
  };
  pg_conn* conn_;
  std::unordered_map<std::string, Prepared> statements_;  // by text and the types of the parameters
  std::string key_;                                       // reused
  uint64_t uses_ = 0;
};

class PgTx final : public Tx {
 public:
  PgTx(PgConn& conn, const base::Context& ctx, int64_t deadline_mono_us, int64_t row_limit, Kept* kept = nullptr)
      : Tx(&ctx), conn_(conn), kept_(kept), deadline_mono_us_(deadline_mono_us), row_limit_(row_limit) {}

  Backend backend() const override { return Backend::kPostgres; }
  int64_t run(std::string_view sql, std::span<const Param> params) override;
  Rows open(std::string_view sql, std::span<const Param> params) override;
  void lock(std::string_view kind, std::string_view id) override;

  Kept* kept() const { return kept_; }
  bool wakes_event_listeners() const { return wake_; }
  bool run_again() const { return run_again_; }

 private:
  PgResult execute(std::string_view sql, std::span<const Param> params);  // null after an error

  PgConn& conn_;
  Kept* const kept_;
  int64_t deadline_mono_us_;
  int64_t row_limit_;
  int64_t changed_ = 0;
  bool run_again_ = false;
};

}  // namespace store::detail
