// Tx: one transaction as a domain function sees it. See store.h for how it is run and why errors are sticky.
//
// Types: integers and booleans are int64 (booleans 0/1), times int64 microseconds; doubles keep infinities but NaN
// needs a flag column of its own (SQLite would store NULL); text is UTF-8 without NUL; blobs are bytes. Thread: a Tx
// and its Rows belong to the running job.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/context.h"
#include "base/result.h"

namespace store {

enum class Backend : uint8_t { kSqlite, kPostgres };

struct Blob {  // marks a parameter as bytes
  std::string_view bytes;
};

// One bound parameter; text and bytes are borrowed for the call. NaN is bound as NULL on both engines.
class Param {
 public:
  enum class Type : uint8_t { kNull, kInt, kDouble, kText, kBlob };
  Param(std::nullptr_t) {}
  template <std::integral I>
  Param(I v) : type(Type::kInt), i(static_cast<int64_t>(v)) {}
  Param(double v) : type(Type::kDouble), d(v) {}
  Param(std::string_view v) : type(Type::kText), text(v) {}
  Param(const std::string& v) : type(Type::kText), text(v) {}
  Param(const char* v) : type(Type::kText), text(v) {}
  Param(Blob v) : type(Type::kBlob), text(v.bytes) {}
  template <class T>
  Param(const std::optional<T>& v) {
    if (v) *this = Param(*v);
  }

  Type type = Type::kNull;
  int64_t i = 0;
  double d = 0;
  std::string_view text;
};

// A result set, read forward once. Views are valid until the next next().
class Rows {
 public:
  class Cursor {  // implemented per engine
   public:
    virtual ~Cursor() = default;
    virtual bool next() = 0;
    virtual bool is_null(int column) = 0;
    virtual int64_t i64(int column) = 0;
    virtual double f64(int column) = 0;
    virtual std::string_view text(int column) = 0;  // text and blobs
  };

  explicit Rows(std::unique_ptr<Cursor> cursor) : cursor_(std::move(cursor)) {}
  bool next() { return cursor_ && cursor_->next(); }  // false at the end or after an error (sticky in the Tx)
  bool is_null(int c) { return cursor_->is_null(c); }
  int64_t i64(int c) { return cursor_->i64(c); }
  double f64(int c) { return cursor_->f64(c); }
  bool boolean(int c) { return cursor_->i64(c) != 0; }
  std::string_view text(int c) { return cursor_->text(c); }
  std::string str(int c) { return std::string(cursor_->text(c)); }
  std::optional<int64_t> opt_i64(int c) { return is_null(c) ? std::nullopt : std::optional(i64(c)); }
  std::optional<double> opt_f64(int c) { return is_null(c) ? std::nullopt : std::optional(f64(c)); }
  std::optional<std::string> opt_str(int c) { return is_null(c) ? std::nullopt : std::optional(str(c)); }

 private:
  std::unique_ptr<Cursor> cursor_;
};

class Tx {
 public:
  virtual ~Tx() = default;
  virtual Backend backend() const = 0;

  const base::Context& ctx() const { return *ctx_; }
  int64_t project() const { return ctx_->project; }
  int64_t now_us() const { return ctx_->now_us; }

  // Runs a statement that answers no rows; the number of changed rows (0 after an error).
  template <class... A>
  int64_t exec(std::string_view sql, const A&... args) {
    const Param params[] = {Param(args)..., Param(nullptr)};
    return run(sql, {params, sizeof...(A)});
  }
  template <class... A>
  Rows query(std::string_view sql, const A&... args) {
    const Param params[] = {Param(args)..., Param(nullptr)};
    return open(sql, {params, sizeof...(A)});
  }
  // First column of the first row as int64; nullopt when there is none or it is NULL. For INSERT … RETURNING id,
  // counts.
  template <class... A>
  std::optional<int64_t> query_i64(std::string_view sql, const A&... args) {
    Rows rows = query(sql, args...);
    return rows.next() ? rows.opt_i64(0) : std::nullopt;
  }
  // For parameter lists built at run time (search). SQL text built at run time is cached too, up to a bound.
  // A text parameter that is not UTF-8, or holds NUL, fails with kInvalid.
  virtual int64_t run(std::string_view sql, std::span<const Param> params) = 0;
  virtual Rows open(std::string_view sql, std::span<const Param> params) = 0;

  // Serialises functions that read what they then write: held until the transaction ends. SQLite has one writer anyway.
  virtual void lock(std::string_view kind, std::string_view id) = 0;

  bool failed() const { return error_.has_value(); }
  base::Result<void> status() const {
    if (error_) return std::unexpected(*error_);
    return {};
  }
  void wake_event_listeners() { wake_ = true; }  // by core::emit

 protected:
  explicit Tx(const base::Context* ctx) : ctx_(ctx) {}
  void set_error(base::Error error) {
    if (!error_) error_ = std::move(error);
  }
  const base::Context* ctx_;
  std::optional<base::Error> error_;
  bool wake_ = false;
};

}  // namespace store
