#include "store/postgres_conn.h"

#include <libpq-fe.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "store/sql_text.h"

namespace store::detail {
namespace {

// Type numbers of pg_type.dat; fixed for ever.
constexpr Oid kBool = 16, kBytea = 17, kInt8 = 20, kText = 25, kFloat8 = 701;

std::string trimmed(const char* text) {
  std::string out = text ? text : "";
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

base::Error to_error(std::string_view state, const std::string& message, std::string_view sql) {
  using base::Code;
  const auto make = [&](Code code, std::string_view what) {
    return base::Error{code, std::string(what) + " (" + message + ")"};
  };
  if (state == "23505") return make(Code::kAlreadyExists, "it already exists");
  if (state == "23503")
    return make(Code::kConflict, "something that it refers to, or that refers to it, does not allow this");
  if (state == "23514") return make(Code::kInvalid, "a value is not allowed");
  if (state == "2201B") return make(Code::kInvalid, "the regular expression is not valid");
  if (state == "22003") return make(Code::kInvalid, "a number is out of range");
  if (state == "57014") return make(Code::kDeadline, "the statement took too long");
  if (state == "53100") return make(Code::kUnavailable, "the database's disk is full; nothing was stored");
  if (state == "54000") return make(Code::kTooLarge, "a value is too large");
  if (state.starts_with("53") || state.starts_with("57P") || state.starts_with("08") || state.starts_with("25006")) {
    return make(Code::kUnavailable, "PostgreSQL cannot do it now");
  }
  if (state == "40001" || state == "40P01") return make(Code::kConflict, "it collided with another change; try again");
  return make(Code::kInternal, "the database refused a statement: " + std::string(sql.substr(0, 200)));
}

Oid type_of(const Param& p) {
  switch (p.type) {
    case Param::Type::kNull: return 0;  // whatever the place asks for
    case Param::Type::kInt: return kInt8;
    case Param::Type::kDouble: return std::isnan(p.d) ? 0 : kFloat8;
    case Param::Type::kText: return kText;
    case Param::Type::kBlob: return kBytea;
  }
  return 0;
}

// Parameters in PostgreSQL's binary form: numbers big-endian, text and bytes as they are.
struct Bound {
  explicit Bound(std::span<const Param> params)
      : values(params.size()), lengths(params.size()), formats(params.size(), 1), numbers(params.size()) {
    for (size_t i = 0; i < params.size(); ++i) {
      const Param& p = params[i];
      switch (type_of(p)) {
        case 0: break;
        case kInt8: set_number(i, static_cast<uint64_t>(p.i)); break;
        case kFloat8: set_number(i, std::bit_cast<uint64_t>(p.d)); break;
        default: values[i] = p.text.data() ? p.text.data() : ""; lengths[i] = static_cast<int>(p.text.size());
      }
    }
  }
  void set_number(size_t i, uint64_t bits) {
    numbers[i] = __builtin_bswap64(bits);
    values[i] = reinterpret_cast<const char*>(&numbers[i]);
    lengths[i] = sizeof(uint64_t);
  }
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  std::vector<uint64_t> numbers;
};
static_assert(std::endian::native == std::endian::little);

}  // namespace

void PgResultFree::operator()(pg_result* result) const { PQclear(result); }

base::Result<std::unique_ptr<PgConn>> PgConn::open(const Settings& settings) {
  const char* keys[] = {"dbname",          "application_name", "connect_timeout",
                        "client_encoding", "tcp_user_timeout", nullptr};
  const char* values[] = {settings.url.c_str(), settings.application.c_str(), "5", "UTF8", "10000", nullptr};
  std::unique_ptr<PgConn> conn(new PgConn(PQconnectdbParams(keys, values, /*expand_dbname=*/1)));
  if (PQstatus(conn->conn_) != CONNECTION_OK) {
    return base::fail(base::Code::kUnavailable, "PostgreSQL: " + trimmed(PQerrorMessage(conn->conn_)));
  }
  PQsetNoticeProcessor(conn->conn_, [](void*, const char*) {}, nullptr);
  std::string setup =
      "SET timezone = 'UTC'; SET bytea_output = 'hex'; SET extra_float_digits = 1;"
      // "committed" means on disk, whatever the cluster's default is
      "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";
  if (!settings.schema.empty()) {
    std::unique_ptr<char, decltype(&PQfreemem)> name(
        PQescapeIdentifier(conn->conn_, settings.schema.data(), settings.schema.size()), &PQfreemem);
    setup += "CREATE SCHEMA IF NOT EXISTS " + std::string(name.get()) + "; SET search_path = " + name.get() + ";";
  }
  if (auto done = conn->simple(setup); !done) return std::unexpected(std::move(done).error().error);
  return conn;
}

PgConn::~PgConn() { PQfinish(conn_); }

bool PgConn::lost() const { return PQstatus(conn_) == CONNECTION_BAD; }

std::expected<PgResult, PgError> PgConn::checked(pg_result* raw, std::string_view sql) {
  PgResult result(raw);
  const ExecStatusType status = PQresultStatus(raw);
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) return result;
  const char* field = raw ? PQresultErrorField(raw, PG_DIAG_SQLSTATE) : nullptr;
  const std::string state = field ? field : "08006";
  const char* primary = raw ? PQresultErrorField(raw, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
  PgError error{to_error(state, trimmed(primary ? primary : PQerrorMessage(conn_)), sql)};
  error.lost = lost();
  error.run_again = error.lost || state == "40001" || state == "40P01";
  return std::unexpected(std::move(error));
}

std::expected<PgResult, PgError> PgConn::simple(const std::string& sql) {
  return checked(PQexec(conn_, sql.c_str()), sql);
}

std::expected<void, PgError> PgConn::make_room() {
  if (statements_.size() < base::limits::kStatements) return {};
  auto oldest = statements_.begin();
  for (auto it = statements_.begin(); it != statements_.end(); ++it) {
    if (it->second.used < oldest->second.used) oldest = it;
  }
  auto done = simple("DEALLOCATE " + oldest->second.name);
  if (!done) return std::unexpected(std::move(done).error());
  statements_.erase(oldest);
  return {};
}

std::expected<std::string, PgError> PgConn::statement_name(std::string_view sql, std::span<const Param> params) {
  key_.assign(sql);
  for (const Param& p : params) key_ += static_cast<char>('0' + (type_of(p) ? static_cast<int>(p.type) : 0));
  if (auto it = statements_.find(key_); it != statements_.end()) {
    it->second.used = ++uses_;
    return it->second.name;
  }
  if (auto room = make_room(); !room) return std::unexpected(std::move(room).error());
  const std::string name = "s" + std::to_string(++uses_);
  std::vector<Oid> types;
  for (const Param& p : params) types.push_back(type_of(p));
  auto done = checked(
      PQprepare(conn_, name.c_str(), number_parameters(sql).c_str(), static_cast<int>(types.size()), types.data()),
      sql);
  if (!done) return std::unexpected(std::move(done).error());
  statements_.emplace(key_, Prepared{name, uses_});
  return name;
}

std::expected<PgResult, PgError> PgConn::prepared(std::string_view sql, std::span<const Param> params) {
  auto name = statement_name(sql, params);
  if (!name) return std::unexpected(std::move(name).error());
  const Bound bound(params);
  return checked(PQexecPrepared(conn_, name->c_str(), static_cast<int>(params.size()), bound.values.data(),
                                bound.lengths.data(), bound.formats.data(), /*resultFormat=*/0),
                 sql);
}

// --- Tx -------------------------------------------------------------------------------------------------------------

namespace {

// A whole result in memory: statements may go on beside it (domain functions bound what they read).
class PgCursor final : public Rows::Cursor {
 public:
  explicit PgCursor(PgResult result) : result_(std::move(result)), rows_(PQntuples(result_.get())) {}

  bool next() override { return ++row_ < rows_; }
  bool is_null(int c) override { return PQgetisnull(result_.get(), row_, c) != 0; }
  int64_t i64(int c) override {
    const std::string_view value = raw(c);
    if (PQftype(result_.get(), c) == kBool) return value == "t";
    int64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }
  double f64(int c) override {
    const std::string_view value = raw(c);
    double number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }
  std::string_view text(int c) override {
    if (PQftype(result_.get(), c) != kBytea) return raw(c);
    const std::string_view hex = raw(c).substr(raw(c).empty() ? 0 : 2);  // "\x0123…"
    if (bytes_.size() <= static_cast<size_t>(c)) bytes_.resize(static_cast<size_t>(c) + 1);
    std::string& out = bytes_[static_cast<size_t>(c)];
    out.resize(hex.size() / 2);
    const auto nibble = [](char h) { return h <= '9' ? h - '0' : h - 'a' + 10; };
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<char>(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return out;
  }

 private:
  std::string_view raw(int c) const {
    return {PQgetvalue(result_.get(), row_, c), static_cast<size_t>(PQgetlength(result_.get(), row_, c))};
  }
  PgResult result_;
  int rows_;
  int row_ = -1;
  std::vector<std::string> bytes_;
};

}  // namespace

PgResult PgTx::execute(std::string_view sql, std::span<const Param> params) {
  if (failed()) return nullptr;
  if (deadline_mono_us_ != 0 && base::system_clock().mono_us() > deadline_mono_us_) {
    set_error({base::Code::kDeadline, "the work on the database took too long"});
    return nullptr;
  }
  for (const Param& p : params) {
    if (p.type != Param::Type::kText || is_storable_text(p.text)) continue;
    set_error({base::Code::kInvalid, "a text is not valid UTF-8, or contains a NUL character"});
    return nullptr;
  }
  auto result = conn_.prepared(sql, params);
  if (!result) {
    run_again_ = result.error().run_again;
    set_error(std::move(result).error().error);
    return nullptr;
  }
  return std::move(*result);
}

int64_t PgTx::run(std::string_view sql, std::span<const Param> params) {
  const PgResult result = execute(sql, params);
  if (!result) return 0;
  int64_t changed = 0;
  const std::string_view count = PQcmdTuples(result.get());
  std::from_chars(count.data(), count.data() + count.size(), changed);
  changed_ += changed;
  if (row_limit_ != 0 && changed_ > row_limit_) {
    set_error({base::Code::kTooLarge,
               "one change touches more than " + std::to_string(row_limit_) + " rows; do it in steps"});
  }
  return changed;
}

Rows PgTx::open(std::string_view sql, std::span<const Param> params) {
  PgResult result = execute(sql, params);
  if (!result) return Rows(nullptr);
  return Rows(std::make_unique<PgCursor>(std::move(result)));
}

void PgTx::lock(std::string_view kind, std::string_view id) {
  std::string name(kind);
  name += '\0';
  name += id;
  query("SELECT pg_advisory_xact_lock(?)",
        static_cast<int64_t>(base::stable_hash64(static_cast<uint64_t>(project()), name)));
}

}  // namespace store::detail
