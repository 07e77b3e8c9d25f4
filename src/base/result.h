// Result and Error: how every fallible call of Lathe answers.
//
// Error carries one code of one enum, mapped to HTTP in exactly one place (net) and to other protocols at
// their doors, plus a message that a user can act on. Exceptions never cross a module: a library that throws
// is wrapped where it is called.
//
// Thread: plain values. Ownership: an Error owns its text.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace base {

enum class Code : uint8_t {
  kInvalid,          // the request is wrong as written                              400
  kUnauthenticated,  // nobody we know                                               401
  kForbidden,        // known, but not allowed                                       403
  kNotFound,         // no such thing                                                404
  kConflict,         // the state moved on, or a precondition does not hold          409
  kAlreadyExists,    // the name or id is taken                                      409 (MLflow: 400)
  kTooLarge,         // past a named byte or element limit                           413
  kTooMany,          // past a named rate or queue limit; retry later                429
  kUnsupported,      // understood, not offered                                      501
  kUnavailable,      // a dependency is missing or the server is draining; retry     503
  kDeadline,         // the time given ran out                                       504
  kCancelled,        // the caller went away                                         499
  kInternal,         // our fault                                                    500
};

std::string_view name(Code code);  // "invalid", "not-found", ...: stable words for logs and our own JSON

struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;

  // The same error, told with where it happened: "<context>: <message>".
  Error within(std::string_view context) && {
    message.insert(0, ": ").insert(0, context);
    return std::move(*this);
  }
};

// std::expected itself is not [[nodiscard]] in this standard library; a dropped Result is a bug, so ours is.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  using std::expected<T, Error>::operator=;
};

inline std::unexpected<Error> fail(Code code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}
inline std::unexpected<Error> invalid(std::string message) { return fail(Code::kInvalid, std::move(message)); }
inline std::unexpected<Error> not_found(std::string message) { return fail(Code::kNotFound, std::move(message)); }
inline std::unexpected<Error> internal(std::string message) { return fail(Code::kInternal, std::move(message)); }

// "what: strerror(error)" with the code that fits errno (ENOENT not found, ENOSPC unavailable, else internal).
std::unexpected<Error> errno_error(std::string_view what, int error);

}  // namespace base

// TRY(f());                 returns f's error from this function, if it has one.
// TRY_SET(auto x, f());     the same, else x = the value.
// CO_TRY, CO_TRY_SET        for coroutines.
#define BASE_CAT2(a, b) a##b
#define BASE_CAT(a, b) BASE_CAT2(a, b)
#define BASE_TRY_IMPL(ret, tmp, expr)       \
  if (auto tmp = (expr); !tmp) [[unlikely]] \
  ret ::std::unexpected(std::move(tmp).error())
#define BASE_TRY_SET_IMPL(ret, tmp, decl, expr)    \
  auto tmp = (expr);                               \
  if (!tmp) [[unlikely]]                           \
    ret ::std::unexpected(std::move(tmp).error()); \
  decl = std::move(*tmp)
#define TRY(expr) BASE_TRY_IMPL(return, BASE_CAT(try_, __LINE__), expr)
#define TRY_SET(decl, expr) BASE_TRY_SET_IMPL(return, BASE_CAT(try_, __LINE__), decl, expr)
#define CO_TRY(expr) BASE_TRY_IMPL(co_return, BASE_CAT(try_, __LINE__), expr)
#define CO_TRY_SET(decl, expr) BASE_TRY_SET_IMPL(co_return, BASE_CAT(try_, __LINE__), decl, expr)
